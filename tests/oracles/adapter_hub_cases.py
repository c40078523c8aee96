"""Golden cases of adapters and hybrids by adapters 1.3 on the tiny encoders of encoders.py, t5_square of encoder_edits.py and
the tiny Llama.

    python tests/oracles/adapter_hub_cases.py
Writes tests/oracles/golden/adapter_hub_cases/<base>_<case>.safetensors: `param.<our path>`, `grad.<our path>` (none for what is frozen),
logits and loss, and where there is one `penalty`.
"""
import json, os, re, warnings
import torch
import adapters
from adapters import (AdapterFusionConfig, CompacterConfig, CompacterPlusPlusConfig, DiReftConfig, DoubleSeqBnConfig, LoReftConfig, LoRAConfig, MAMConfig, ParBnConfig,
                      PrefixTuningConfig, SeqBnConfig, SeqBnInvConfig, UniPELTConfig)
from adapters.composition import Fuse
from safetensors.torch import save_file
from torch.nn.utils import parametrize
from transformers import (AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoModelForTokenClassification,
                          LlamaForCausalLM, T5ForConditionalGeneration)

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden"
OUT = ROOT + "/adapter_hub_cases"
os.makedirs(OUT, exist_ok=True)
BASES = {"bert_text": AutoModelForSequenceClassification, "bert_tags": AutoModelForTokenClassification,
         "roberta_tags": AutoModelForTokenClassification, "bert_mask": AutoModelForMaskedLM, "t5": T5ForConditionalGeneration,
         "t5_square": T5ForConditionalGeneration, "llama": LlamaForCausalLM}
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", labels="labels")
FOLDERS = {"t5_square": f"{ROOT}/encoder_edits/t5_square", "llama": f"{ROOT}/llama_lora/base"}
BATCHES = {"t5_square": f"{ROOT}/encoders/t5/case.json", "llama": f"{ROOT}/llama_lora/batch.json"}


def batch_of(base):
    case = json.load(open(BATCHES.get(base, f"{ROOT}/encoders/{base}/case.json")))
    return {NAMES[k]: torch.tensor(v) for k, v in case.items()}


def padded_right(batch):
    """The library finds a text's end by its first token and its length, which masks with holes mislead."""
    lengths = batch["attention_mask"].sum(1, keepdim=True)
    return batch | {"attention_mask": (torch.arange(batch["attention_mask"].shape[1])[None] < lengths).long()}


def no_prompt(batch):
    """The library edits the ends of prompt and answer together, so here all is one text."""
    return batch | {"labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


def our_path(name):
    """The path of a parameter of a module: places."""
    for theirs, ours in [("adapters.a.adapter_down.0", "down"), ("adapters.a.adapter_up", "up"), ("adapters.a.scaling", "scale"),
                         (".W_left", ".left"), (".W_right", ".right"), (".W", ".blocks"), (".phm_rule", ".rule")]:
        name = name.replace(theirs, ours)
    name = re.sub(r"(down|up)\.b$", r"\1.bias", name)
    if name.startswith("model.layers"):
        name = name.replace("output_adapters", "mlp").replace("attention_adapters", "self_attn")
    for theirs in ["attention_adapters.", "output_adapters.", "cross_"]:
        name = name.replace(theirs, "")
    return re.sub(r"^.*shared_parameters\.a\.rule$", "rule", name)


KINDS = {"encoder_prefix": "encoder.self", "self_prefix": "decoder.self", "cross_prefix": "decoder.cross"}


def prefix_parts(m, name, p):
    """Rows of the last layer of a prefix's network lie together for all attentions of a kind."""
    kind = re.search(r"(\w+_prefix)\.", name).group(1)
    t5 = m.config.model_type == "t5"
    ours = f"network.{KINDS[kind] if t5 else 'encoder.self'}"
    if "wte" in name:
        return {f"{ours}.tokens": p}
    if "control_trans.0" in name:
        return {f"{ours}.hidden.{name.split('.')[-1]}": p}
    d = m.config.hidden_size
    blocks = p.shape[0] // (2 * d)
    path = {"encoder_prefix": "encoder.block.%d.layer.0.SelfAttention", "self_prefix": "decoder.block.%d.layer.0.SelfAttention",
            "cross_prefix": "decoder.block.%d.layer.1.EncDecAttention"}[kind] if t5 else (
                m.base_model_prefix + ".encoder.layer.%d.attention.self")
    return {f"{path % i}.{part}.{name.split('.')[-1]}": p[(2 * i + j) * d:(2 * i + j + 1) * d]
            for i in range(blocks) for j, part in enumerate("kv")}


def plain(m, name, p):
    return prefix_parts(m, name, p) if "_prefix." in name else {our_path(name): p}


def hybrid(parts):
    """Of a composition: which part a parameter belongs to, and whether it is a gate's."""
    def rename(m, name, p):
        part = parts["prefix" if "prefix" in name else "lora" if ".loras." in name else "adapter"]
        if "gate" in name:
            kind = "prefix" if "prefix" in name else "linear" if "loras" in name else "hidden"
            path = re.sub(r"\.(prefix_tuning\.prefix_gates\.a|loras\.a\.gate|adapters\.a\.gate)\.(weight|bias)$", "", name)
            path = our_path(path + ".x")[:-2]
            return {f"{part}.gates.{path}.{kind}.{name.split('.')[-1]}": p.T if p.dim() == 2 else p}
        of = ".of" if parts.get("gated") else ""
        if ".loras." in name:
            return {f"{part}{of}.{name.replace('loras.a.lora_A', 'a').replace('loras.a.lora_B', 'b')}": p}
        return {f"{part}{of}.{ours}": t for ours, t in plain(m, name, p).items()}
    return rename


def reft(m, name, p):
    name = name.replace("reft_layer.refts.a.units", "unit").replace("learned_source", "source").replace("projection.weight", "rotation")
    tied = len([n for n, _ in m.named_parameters() if "units.1" in n]) == 0
    for i, which in enumerate(["both" if tied else "first", "last"]):
        name = name.replace(f"unit.{i}", which)
    return {name: p}


def invertible(m, name, p):
    if "invertible" not in name:
        return {f"adapter.{our_path(name)}": p}
    entrance = {"bert": "bert.embeddings", "llama": "model.embed_tokens"}[m.config.model_type]
    _, net, i, leaf = name.rsplit(".", 3)
    return {f"invertible.{entrance}.{net.lower()}.{'down' if i == '0' else 'up'}.{leaf}": p}


def fusion(m, name, p):
    if "adapter_fusion_layer" in name:
        name = name.replace("adapter_fusion_layer.a,b.", "")
        return {f"fusion.{our_path(name)}": p}
    which = re.search(r"adapters\.([ab])\.", name).group(1)
    return {f"frozen.{which}.{our_path(name.replace(f'adapters.{which}.', 'adapters.a.'))}": p}


def true_distances(m, n):
    """The library counts a prefix's rows as positions of keys but not of queries, so that the text's own distances are off by
    n; here they are not, and the rows have none."""
    from transformers.models.t5.modeling_t5 import T5Attention
    for module in m.modules():
        if isinstance(module, T5Attention):
            inner = module.compute_bias
            module.compute_bias = lambda t, keys, inner=inner, **rest: torch.nn.functional.pad(inner(t, keys - n, **rest), (n, 0))


class Share(torch.nn.Module):
    """Stands for a gate of the library, which takes the mean over tokens of a sigmoid: with this the mean of a part's share."""

    def __init__(self, gate, seen, i):
        super().__init__()
        self.seen, self.i = seen, i
        self.central_adapter_gate = gate

    def forward(self, _):
        return torch.logit(torch.softmax(self.central_adapter_gate(self.seen[0]), -1)[..., self.i:self.i + 1])


def central(m):
    """One gate a block, of the block's input, in the place of all."""
    for layer in m.base_model.encoder.layer:
        gate, seen = torch.nn.Linear(m.config.hidden_size, 3), []
        layer.central_adapter_gate = gate
        layer.register_forward_pre_hook(lambda _, args, seen=seen: (seen.clear(), seen.append(args[0]), None)[-1])
        layer.attention.self.prefix_tuning.prefix_gates["a"] = Share(gate, seen, 0)
        layer.attention.self.query.loras["a"].gate = Share(gate, seen, 1)
        layer.attention.self.value.loras["a"].gate = Share(gate, seen, 1)
        layer.output.adapters["a"].gate = Share(gate, seen, 2)


def central_names(m, name, p):
    if "gate" in name:  # under the first of its owners
        block, leaf = re.match(r"(.*?\.layer\.\d+)\..*\.(\w+)$", name).groups()
        return {f"gates.{block}.{leaf}": p}
    return {f"of.{ours}": t for ours, t in hybrid(dict(prefix="prefix", lora="lora", adapter="adapter"))(m, name, p).items()}


def case(base, kind, config, rename=plain, fused=None, noise=0.2):
    torch.manual_seed(len(base) + 7 * len(kind))
    m = BASES[base].from_pretrained(FOLDERS.get(base, f"{ROOT}/encoders/{base}"), dtype=torch.float32,
                                    attn_implementation="eager").eval()
    adapters.init(m)
    frozen = {}
    if fused:
        for name in "ab":
            m.add_adapter(name, config=config)
        m.add_adapter_fusion(Fuse("a", "b"), fused)
        m.train_adapter_fusion(Fuse("a", "b"))
        frozen = {n: p for n, p in m.named_parameters() if re.search(r"adapters\.[ab]\.", n)}
    else:
        m.add_adapter("a", config=config)
        m.train_adapter("a")
    if rename is central_names:
        central(m)
    for module in m.modules():  # gradients of the orthogonal matrix itself
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            module.weight = torch.nn.Parameter(module.weight.detach().clone())
    trained = {n: p for n, p in m.named_parameters() if p.requires_grad and ("adapter" in n or "lora" in n or "prefix" in n or
                                                                           "reft" in n or "shared_parameters" in n)}
    with torch.no_grad():
        for n, p in {**frozen, **trained}.items():
            if not n.endswith("projection.weight"):
                p.add_(torch.randn_like(p) * noise)
    m.eval()
    if base == "t5_square":
        true_distances(m, 3)
    if rename is invertible:  # models with heads of transformers' lack the way back
        m.get_output_embeddings().register_forward_pre_hook(
            lambda _, args: (m.base_model.get_invertible_adapter()(args[0], rev=True), *args[1:]))
    batch = padded_right(batch_of(base)) if rename is reft else batch_of(base)
    batch = no_prompt(batch) if rename is reft and base == "llama" else batch
    out = m(**batch)
    penalty = m.base_model.get_fusion_regularization_loss() if fused else 0
    (out.loss + penalty).backward()
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    if fused:
        tensors["penalty"] = penalty.reshape(1)
    for n, p in {**frozen, **trained}.items():
        for ours, t in rename(m, n, p).items():
            tensors[f"param.{ours}"] = t
        if n in trained:
            for ours, t in rename(m, n, p.grad if p.grad is not None else torch.zeros_like(p)).items():
                tensors[f"grad.{ours}"] = t
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{base}_{kind}.safetensors")
    print(base, kind, float(out.loss), [k[6:] for k in tensors if k.startswith("param.")][:: max(1, len(tensors) // 12)])


PREFIX = PrefixTuningConfig(prefix_length=3, bottleneck_size=5)
for base in ["bert_text", "roberta_tags", "t5", "llama"]:
    case(base, "houlsby", DoubleSeqBnConfig(reduction_factor=5))
for base in ["bert_text", "t5", "llama"]:
    case(base, "parallel", ParBnConfig(reduction_factor=5, scaling="learned"))
    case(base, "compacter", CompacterConfig(reduction_factor=5 if base != "llama" else 6), noise=0.3)
for base in ["t5", "llama"]:  # where there is a norm in front, the library's branch reads what stands before it
    os.rename(f"{OUT}/{base}_parallel.safetensors", f"{OUT}/{base}_parallel_residual.safetensors")
case("roberta_tags", "parallel", ParBnConfig(reduction_factor=3))
case("bert_tags", "compacter_plus", CompacterPlusPlusConfig(reduction_factor=2, phm_dim=2, phm_rank=3), noise=0.3)
case("bert_tags", "phm", CompacterConfig(reduction_factor=5, phm_dim=2, shared_phm_rule=False, factorized_phm_W=False), noise=0.3)
MAM = dict(prefix="prefix", adapter="parallel")
for base in ["bert_text", "roberta_tags", "t5_square"]:
    case(base, "mam", MAMConfig(PREFIX, ParBnConfig(reduction_factor=5)), hybrid(MAM))
UNIPELT = dict(prefix="prefix", lora="lora", adapter="adapter", gated=True)
for base in ["bert_text", "roberta_tags", "t5_square"]:
    case(base, "unipelt", UniPELTConfig(PrefixTuningConfig(prefix_length=3, bottleneck_size=5, use_gating=True),
                                        SeqBnConfig(reduction_factor=5, use_gating=True),
                                        LoRAConfig(r=3, alpha=7, use_gating=True)), hybrid(UNIPELT))
case("bert_text", "central", UniPELTConfig(PrefixTuningConfig(prefix_length=3, bottleneck_size=5, use_gating=True),
                                           SeqBnConfig(reduction_factor=5, use_gating=True),
                                           LoRAConfig(r=3, alpha=7, use_gating=True)), central_names)
for base in ["bert_text", "llama"]:
    case(base, "loreft", LoReftConfig(r=3, prefix_positions=1, suffix_positions=1, tied_weights=False), reft)
case("bert_tags", "loreft_tied", LoReftConfig(r=3, prefix_positions=1, suffix_positions=1, tied_weights=True), reft)
case("bert_tags", "direft", DiReftConfig(r=3, prefix_positions=1, suffix_positions=0, tied_weights=True), reft)
for base in ["bert_text", "llama"]:
    case(base, "fusion", SeqBnConfig(reduction_factor=5), fusion, fused=AdapterFusionConfig.load("dynamic"))
case("bert_mask", "invertible", SeqBnInvConfig(reduction_factor=5), invertible)
case("llama", "invertible", SeqBnInvConfig(reduction_factor=6), invertible)
