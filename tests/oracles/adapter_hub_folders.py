"""AdapterHub folders saved by adapters 1.3 on the tiny models, with the logits that it computes, for some of them the loss and
its gradients too (under the names of the folder's tensors), and what it makes of folders that we wrote.

    python tests/oracles/adapter_hub_folders.py            writes tests/oracles/golden/adapter_hub_folders/<base>_<kind>/
    python tests/oracles/adapter_hub_folders.py --check F  loads every folder below F (see adapter_hub_written.ts) and compares
"""
import json, os, shutil, sys, warnings
import torch
import adapters
from adapters import *
from adapters.composition import Average, BatchSplit, Fuse, MultiTask, Parallel, Split, Stack
from adapters.heads import CausalLMHead
from safetensors.torch import load_file, save_file
from torch.nn.utils import parametrize
from transformers import (AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification, T5ForConditionalGeneration)

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden"
OUT = ROOT + "/adapter_hub_folders"
TEXT, TAGS, MASK, CAUSAL = (AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForMaskedLM,
                            AutoModelForCausalLM)
BASES = {"bert_text": TEXT, "bert_tags": TAGS, "bert_mask": MASK, "roberta_text": TEXT, "roberta_tags": TAGS,
         "t5": T5ForConditionalGeneration, "t5_gated": T5ForConditionalGeneration, "llama": CAUSAL, "gpt2": CAUSAL}
FOLDERS = {"llama": f"{ROOT}/llama_lora/base", "gpt2": f"{ROOT}/models/gpt2"}
BATCHES = {"llama": f"{ROOT}/llama_lora/batch.json", "gpt2": f"{ROOT}/llama_lora/batch.json"}
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", decoderInputIds="decoder_input_ids",
             labels="labels")


def folder_of(base):
    return FOLDERS.get(base, f"{ROOT}/encoders/{base}")


def batch_of(base, labelled=False):
    """Padded on the right: the library takes a text's end for its first token and its length, which holes mislead."""
    case = json.load(open(BATCHES.get(base, f"{ROOT}/encoders/{base}/case.json")))
    batch = {NAMES[k]: torch.tensor(v) for k, v in case.items() if k in NAMES}
    lengths = batch["attention_mask"].sum(1, keepdim=True)
    mask = (torch.arange(batch["attention_mask"].shape[1])[None] < lengths).long()
    kept = {k: v for k, v in batch.items() if labelled or k != "labels" or base.startswith("t5")}
    return kept | {"attention_mask": mask}


def model_of(base, flexible=False):
    if flexible:
        return AutoAdapterModel.from_pretrained(folder_of(base), dtype=torch.float32, attn_implementation="eager").eval()
    m = BASES[base].from_pretrained(folder_of(base), dtype=torch.float32, attn_implementation="eager").eval()
    adapters.init(m)
    return m


def shake(m, noise, kind):
    """Nothing of an adapter stays zero, one or the identity. What makes an orthogonal matrix keeps its diagonal of signs."""
    with torch.no_grad():
        for n, p in m.named_parameters():
            if any(part in n for part in ["adapters.", "adapter_fusion", "loras.", "refts.", "prefix_", "prompt_tunings",
                                          "shared_parameters", "heads."]):
                change = torch.randn_like(p) * noise
                if kind.endswith("diagonal") and "vera_" in n:
                    change = torch.diag(torch.diagonal(change))
                if n.endswith("parametrizations.weight.original"):
                    change = (change.T.tril(-1)).T
                p.add_(change)


def save(m, folder, name, setup=None, head=None):
    """The library cannot write one tensor under two names, which a prefix has: here each under its first name."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    from adapters import loading
    plain = loading.save_file
    def once(state, path):
        seen, kept = set(), {}
        for k, v in state.items():
            if v.data_ptr() not in seen or v.numel() == 0:
                kept[k] = v.contiguous()
            seen.add(v.data_ptr())
        plain(kept, path)
    loading.save_file = once
    if setup is not None:
        if head is not None:
            m.save_adapter_setup(folder, setup, head_setup=head, use_safetensors=True)
        else:
            m.save_adapter_setup(folder, setup, use_safetensors=True)
    else:
        m.save_adapter(folder, name, with_head=False, use_safetensors=True)
        if head is not None:
            m.save_head(folder, None if head is True else head, use_safetensors=True)
    loading.save_file = plain


def logits_of(m, base, **more):
    """Of branches with a head each: one after another. In parallel the labels of T5 would not be replicated."""
    batch = batch_of(base)
    if "labels" in batch and getattr(m, "has_parallel_adapters", False):
        batch["decoder_input_ids"] = m._shift_right(batch.pop("labels"))
    with torch.no_grad():
        out = m(**batch, **more)
    if hasattr(out, "head_outputs"):
        return torch.cat([each.logits for each in out.head_outputs])
    return out.logits.contiguous()


def gradients(m, base, folder, **more):
    """The loss, and its gradient by each tensor in the folder's files; zeros for what nothing depends on."""
    names = dict(m.named_parameters(remove_duplicate=False))
    files = [os.path.join(at, f) for at, _, found in os.walk(folder) for f in found
             if f in ("adapter.safetensors", "model_adapter_fusion.safetensors")]
    keys = {k for f in files for k in load_file(f)}
    for p in names.values():
        p.requires_grad_(False)
    for k in keys & names.keys():
        names[k].requires_grad_(True)
    batch = batch_of(base, labelled=True)
    if getattr(m, "has_parallel_adapters", False):  # the library repeats the batch, but not its labels
        if base.startswith("t5"):
            batch["decoder_input_ids"] = m._shift_right(batch["labels"])
        batch["labels"] = batch["labels"].repeat(m.adapters_config.active_setup.parallel_channels, *[1] * (batch["labels"].dim() - 1))
    loss = m(**batch, **more).loss
    if any("adapter_fusion_layer" in k for k in keys):
        loss = loss + m.base_model.get_fusion_regularization_loss()
    loss.backward()
    found = {f"grad.{k}": torch.zeros_like(names[k]) if names[k].grad is None else names[k].grad for k in keys & names.keys()}
    save_file({"loss": loss.detach().reshape(1), **{k: g.detach().clone().contiguous() for k, g in found.items()}},
              f"{folder}/gradients.safetensors")
    print("    ", len(found), "gradients, largest", max(g.abs().max().item() for g in found.values()), "loss", loss.item())


def case(base, kind, config, noise=0.2, setup=None, head=None, flexible=None):
    """config: of one adapter, or of several by name; flexible: adds a head of the library to its own kind of model."""
    torch.manual_seed(len(base) + 7 * len(kind))
    m = model_of(base, flexible is not None)
    configs = config if isinstance(config, dict) else {"a": config}
    for name, each in configs.items():
        m.add_adapter(name, config=each)
    if isinstance(setup, Fuse) or (setup is not None and any(isinstance(c, Fuse) for c in setup.children)):
        fuse = setup if isinstance(setup, Fuse) else [c for c in setup.children if isinstance(c, Fuse)][0]
        m.add_adapter_fusion(fuse, "dynamic" if kind.endswith("fusion") else "static")
    if flexible is not None:
        flexible(m)
    if isinstance(setup, Average):  # read again, weights add up to 1
        setup = type(setup).from_dict(setup.to_dict())
    m.set_active_adapters(setup if setup is not None else "a")
    shake(m, noise, kind)
    m.eval()
    folder = f"{OUT}/{base}_{kind}"
    save(m, folder, "a", setup, head)
    if kind == "direft":  # the library leaves out what tells it from NoReft: the field is ours
        path = f"{folder}/adapter_config.json"
        saved = json.load(open(path))
        saved["config"]["subtract_projection"] = False
        json.dump(saved, open(path, "w"), indent=2)
    more = dict(task_ids=TASKS) if isinstance(setup, MultiTask) else {}
    logits = logits_of(m, base, **more)
    if kind in GRADIENTS.get(base, ""):
        gradients(m, base, folder, **more)
    bare = model_of(base, flexible is not None)
    if flexible is not None:
        flexible(bare)
        bare.load_state_dict({k: v for k, v in m.state_dict().items() if k in bare.state_dict()})
    if flexible is not None and isinstance(setup, Parallel):
        bare.active_head = setup[0]
    still = logits_of(bare, base)
    moved = (logits[:len(still), -1] - still[:, -1]).abs().max().item()
    save_file({"logits": logits}, f"{folder}/expected.safetensors")
    print(f"{base}_{kind}", list(logits.shape), f"moved {moved:.3g}")


def bottleneck(**fields):
    return BnConfig(**{**dict(mh_adapter=True, output_adapter=True, reduction_factor=5, non_linearity="relu"), **fields})


# Of these with the loss and gradients; not of VeRA and MTL-LoRA, whose matrices are multiplied or cut to their diagonals when read.
GRADIENTS = {base: kinds.split() for base, kinds in {
    "bert_text": "norms norms_inside residual_after gated_bottleneck post_add reductions scaled_par_bn prefix_gated prompt dora "
                 "loreft noreft average average_par average_lora stack parallel parallel_prefix batch_split",
    "bert_tags": "union average_three average_ia3 stack_average split stack_batch_split multi_task stack_fusion",
    "bert_mask": "stack_parallel stack_split",
    "roberta_tags": "seq_bn par_bn prefix lora_everywhere ia3 loreft mam unipelt compacter_pp average_nested split_nested "
                    "parallel_stack batch_split",
    "t5": "cross prefix prefix_flat lora_everywhere ia3 loreft mam unipelt average parallel batch_split",
    "llama": "norms residual_after par_bn prefix lora_everywhere ia3 dora mam unipelt compacter average average_par average_lora "
             "split parallel parallel_lora batch_split",
    "gpt2": "lora ia3 prefix unipelt",
}.items()}
PREFIX = dict(prefix_length=3, bottleneck_size=5)
TASKS = ["b", "a", "b"]


def cases():
    five = ["bert_text", "roberta_tags", "t5", "llama", "gpt2"]
    for base in five:
        yield base, "seq_bn", SeqBnConfig(reduction_factor=5)
        yield base, "double_seq_bn", DoubleSeqBnConfig(reduction_factor=5)
        yield base, "par_bn", ParBnConfig(reduction_factor=5)
        yield base, "prefix", PrefixTuningConfig(**PREFIX)
        yield base, "prefix_flat", PrefixTuningConfig(flat=True, prefix_length=3)
        yield base, "lora", LoRAConfig(r=3, alpha=7)
        yield base, "lora_everywhere", LoRAConfig(r=3, alpha=6, attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True)
        yield base, "ia3", IA3Config()
        yield base, "loreft", LoReftConfig(r=3)
        yield base, "mam", MAMConfig(PrefixTuningConfig(**PREFIX), ParBnConfig(reduction_factor=5))
        yield base, "unipelt", UniPELTConfig(PrefixTuningConfig(**PREFIX), SeqBnConfig(reduction_factor=5), LoRAConfig(r=3, alpha=7))
    for base in ["bert_text", "llama"]:
        yield base, "scaled_par_bn", ParBnConfig(reduction_factor=5, scaling="learned")
        yield base, "direft", DiReftConfig(r=3, prefix_positions=2)
        yield base, "noreft", NoReftConfig(r=3, prefix_positions=2, tied_weights=True)
    for base in ["bert_text", "llama", "t5_gated"]:
        yield base, "dora", DoRAConfig(r=3, alpha=7)
    yield "bert_text", "vera", VeraConfig(r=3)
    yield "bert_text", "vera_diagonal", VeraConfig(r=3, vera_b=0.3)
    yield "bert_tags", "dvora", DvoRAConfig(r=3)
    yield "bert_tags", "mtl_lora", MTLLoRAConfig(r=3, alpha=5, n_up_projection=2)
    yield "bert_text", "compacter", CompacterConfig(reduction_factor=5)
    yield "roberta_tags", "compacter_pp", CompacterPlusPlusConfig(reduction_factor=5)
    yield "llama", "compacter", CompacterConfig(reduction_factor=6)
    yield "bert_tags", "phm", CompacterConfig(reduction_factor=5, phm_dim=2, shared_phm_rule=False, factorized_phm_W=False)
    yield "bert_tags", "phm_factored", CompacterConfig(reduction_factor=5, factorized_phm_rule=True, phm_bias=False, phm_rank=2)
    for base in ["bert_mask", "llama", "gpt2", "t5"]:
        yield base, "seq_bn_inv", SeqBnInvConfig(reduction_factor=5)
    yield "bert_tags", "double_seq_bn_inv", DoubleSeqBnInvConfig(reduction_factor=5)
    for base in ["bert_text", "bert_tags", "roberta_text"]:
        yield base, "prompt", PromptTuningConfig(prompt_length=4)
    yield "bert_text", "prompt_after_bos", PromptTuningConfig(prompt_length=4, combine="prefix_after_bos")
    yield "bert_tags", "prompt_after_bos", PromptTuningConfig(prompt_length=4, combine="prefix_after_bos")
    # what presets do not use
    for base in ["bert_text", "llama"]:
        yield base, "norms", bottleneck(ln_before=True, ln_after=True, original_ln_before=True, scaling=2.0)
        yield base, "norms_inside", bottleneck(ln_after=True, adapter_residual_before_ln=True, scaling="channel", non_linearity="swish")
        yield base, "residual_after", bottleneck(original_ln_before=True, residual_before_ln=False, non_linearity="gelu_new")
        yield base, "parallel_everywhere", bottleneck(is_parallel=True, scaling=0.5, non_linearity="leakyrelu")
        yield base, "gated_bottleneck", bottleneck(use_gating=True, non_linearity="tanh")
    yield "bert_text", "post_add", bottleneck(original_ln_before=True, residual_before_ln="post_add")
    yield "llama", "no_ln_after", bottleneck(original_ln_before=True, residual_before_ln=False, original_ln_after=False)
    yield "bert_text", "reductions", bottleneck(reduction_factor={"0": 4, "default": 7.5}, leave_out=[2])
    yield "t5", "cross", bottleneck(cross_adapter=True, leave_out=[1])
    yield "bert_text", "prefix_left_out", PrefixTuningConfig(**PREFIX, leave_out=[1])
    yield "bert_text", "prefix_gated", PrefixTuningConfig(**PREFIX, use_gating=True, shared_gating=False, non_linearity="relu")
    yield "t5", "prefix_decoder", PrefixTuningConfig(**PREFIX, encoder_prefix=False, cross_prefix=False)
    yield "bert_tags", "reft_ends", LoReftConfig(r=3, prefix_positions=2, suffix_positions=3, layers=[0, 1])
    yield "bert_tags", "reft_activated", ReftConfig(layers=[1], prefix_positions=1, suffix_positions=1, r=2, orthogonality=True,
                                                   tied_weights=True, non_linearity="relu")
    yield "bert_tags", "union", ConfigUnion(LoRAConfig(r=2, alpha=3, use_gating=True), LoReftConfig(r=2), bottleneck(mh_adapter=False))
    yield "llama", "lora_left_out", LoRAConfig(r=2, alpha=3, leave_out=[0], use_gating=True)
    yield "gpt2", "lora_gated", LoRAConfig(r=2, alpha=3, attn_matrices=["q", "v"], use_gating=True)


def setups():
    two = {"a": SeqBnConfig(reduction_factor=5), "b": SeqBnConfig(reduction_factor=4)}
    for base in ["bert_text", "llama"]:
        yield base, "fusion", two, dict(setup=Fuse("a", "b"))
        yield base, "stack", two, dict(setup=Stack("a", "b"))
    yield "t5", "static_fuse", {"a": DoubleSeqBnConfig(reduction_factor=5), "b": DoubleSeqBnConfig(reduction_factor=5)}, dict(setup=Fuse("a", "b"))
    yield "bert_tags", "stack_fusion", {"c": SeqBnInvConfig(reduction_factor=5), **two}, dict(setup=Stack("c", Fuse("a", "b")))
    yield "bert_text", "static_head", SeqBnConfig(reduction_factor=5), dict(head=True)
    yield "bert_text", "batch_split", two, dict(setup=BatchSplit("a", "b", batch_sizes=[1, 2]))
    # several beside each other
    four = {name: DoubleSeqBnConfig(reduction_factor=r) for name, r in dict(a=5, b=4, c=7, d=6).items()}
    three = {name: four[name] for name in "abc"}
    low = {"a": LoRAConfig(r=2, alpha=3), "b": LoRAConfig(r=3, use_gating=True)}
    beside = {"a": ParBnConfig(reduction_factor=5), "b": ParBnConfig(reduction_factor=4)}
    prefixes = {"a": PrefixTuningConfig(**PREFIX), "b": PrefixTuningConfig(flat=True, prefix_length=3)}
    for base in ["bert_text", "llama"]:
        yield base, "average", two, dict(setup=Average("a", "b", weights=[1, 3]))
        yield base, "average_par", beside, dict(setup=Average("a", "b"))
        yield base, "average_lora", low, dict(setup=Average("a", "b", weights=[0.6, 0.3]))
        yield base, "parallel", two, dict(setup=Parallel("a", "b"))
    yield "llama", "parallel_lora", low, dict(setup=Parallel("a", "b"))  # in BERT the library forgets to replicate the keys
    yield "bert_tags", "average_three", three, dict(setup=Average("a", "b", "c", weights=[1, 2, 4]))
    yield "t5", "average", three, dict(setup=Average("a", "b", "c"))
    yield "bert_tags", "average_ia3", {"a": IA3Config(), "b": IA3Config()}, dict(setup=Average("a", "b", weights=[1, 2]))
    yield "roberta_tags", "average_nested", four, dict(setup=Average(Stack("a", "b"), Split("c", "d", splits=[4, 5]), weights=[2, 1]))
    yield "bert_tags", "stack_average", {"c": SeqBnInvConfig(reduction_factor=5), **two}, dict(setup=Stack("c", Average("a", "b", weights=[1, 4])))
    yield "bert_tags", "split", two, dict(setup=Split("a", "b", splits=[2, 7]))
    yield "roberta_tags", "split_nested", {**four, "e": DoubleSeqBnConfig(reduction_factor=5)}, dict(setup=Split("e", Stack("b", "c"), Average("a", "d", weights=[1, 3]), splits=[2, 3, 4]))
    yield "llama", "split", {"a": bottleneck(use_gating=True), "b": bottleneck(non_linearity="swish")}, dict(setup=Split("a", "b", splits=[3, 4]))
    yield "bert_mask", "stack_split", {"c": SeqBnInvConfig(reduction_factor=5), **two}, dict(setup=Stack("c", Split("a", "b", splits=[5, 4])))
    yield "t5", "parallel", three, dict(setup=Parallel("a", "b", "c"))
    yield "roberta_tags", "parallel_stack", three, dict(setup=Parallel(Stack("a", "b"), "c"))
    yield "bert_mask", "stack_parallel", {"c": SeqBnInvConfig(reduction_factor=5), **two}, dict(setup=Stack("c", Parallel("a", "b")))
    yield "bert_text", "parallel_prefix", prefixes, dict(setup=Parallel("a", "b"))
    yield "t5", "batch_split", prefixes, dict(setup=BatchSplit("a", "b", batch_sizes=[1, 2]))
    yield "llama", "batch_split", {"a": ParBnConfig(reduction_factor=5), "b": ParBnConfig(reduction_factor=4)}, dict(setup=BatchSplit("a", "b", batch_sizes=[1, 1]))
    yield "roberta_tags", "batch_split", three, dict(setup=BatchSplit(Stack("a", "b"), "c", batch_sizes=[1, 2]))
    yield "bert_tags", "stack_batch_split", {"c": SeqBnInvConfig(reduction_factor=5), **two}, dict(setup=Stack("c", BatchSplit("a", "b", batch_sizes=[1, 2])))
    yield "bert_tags", "multi_task", {"a": LoRAConfig(r=2), "b": LoRAConfig(r=3, alpha=2)}, dict(setup=MultiTask("a", "b"))
    def heads(m):
        m.add_classification_head("a", num_labels=3)
        m.add_classification_head("b", num_labels=3)
    yield "bert_text", "parallel_heads", two, dict(setup=Parallel("a", "b"), flexible=heads)
    yield "bert_text", "heads_batch_split", two, dict(setup=BatchSplit("a", "b", batch_sizes=[1, 2]), flexible=heads)
    classify = lambda **more: lambda m: m.add_classification_head("a", num_labels=3, **more)
    yield "bert_text", "head", SeqBnConfig(reduction_factor=5), dict(head="a", flexible=classify())
    yield "bert_text", "head_pooler", LoRAConfig(r=2), dict(head="a", flexible=classify(layers=1, use_pooler=True))
    yield "roberta_text", "head", SeqBnConfig(reduction_factor=5), dict(head="a", flexible=classify())
    yield "bert_tags", "head", SeqBnConfig(reduction_factor=5), dict(head="a", flexible=lambda m: m.add_tagging_head("a", num_labels=5))
    yield "bert_mask", "head_inv", SeqBnInvConfig(reduction_factor=5), dict(head="a", flexible=lambda m: m.add_masked_lm_head("a"))
    yield "llama", "head_inv", SeqBnInvConfig(reduction_factor=5), dict(head="a", flexible=lambda m: m.add_prediction_head(CausalLMHead(m, "a", layers=1)))
    seq2seq = dict(head="a", flexible=lambda m: m.add_seq2seq_lm_head("a"))  # the other class forgets what all layers share
    yield "t5", "head_compacter", CompacterConfig(reduction_factor=5), seq2seq
    yield "t5", "head_prefix", PrefixTuningConfig(**PREFIX), seq2seq
    yield "t5", "head", SeqBnConfig(reduction_factor=5), dict(head="a", flexible=lambda m: m.add_seq2seq_lm_head("a"))


def make(only):
    for base, kind, config, *more in [*cases(), *setups()]:
        if only and only not in f"{base}_{kind}":
            continue
        try:
            case(base, kind, config, **(more[0] if more else {}))
        except Exception as error:
            print(f"{base}_{kind} FAILS: {type(error).__name__} {str(error)[:300]}")
            shutil.rmtree(f"{OUT}/{base}_{kind}", ignore_errors=True)


def check(root):
    """Loads what we wrote into the library, strictly, and compares its logits with ours."""
    worst = 0
    for kind in sorted(os.listdir(root)):
        if not os.path.exists(f"{root}/{kind}/ours.safetensors"):
            continue
        base = next(b for b in sorted(BASES, key=len, reverse=True) if kind.startswith(b + "_"))
        ours = load_file(f"{root}/{kind}/ours.safetensors")["logits"]
        path = f"{root}/{kind}/adapter_config.json"
        config = json.load(open(path)) if os.path.exists(path) else {"model_class": "", "config": {}}
        if config["model_class"].endswith("AdapterModel"):
            print(f"{kind} is for the library's own class, whose head it lacks")
            continue
        if config["config"].get("subtract_projection") is False:
            print(f"{kind} comes back as NoReft in the library, as its own files do")
            continue
        m = model_of(base)
        info = {}
        try:
            if os.path.exists(f"{root}/{kind}/adapter_setup.json"):
                setup, _ = m.load_adapter_setup(f"{root}/{kind}", use_safetensors=True)
            else:
                setup = m.load_adapter(f"{root}/{kind}", use_safetensors=True, loading_info=info)
            m.set_active_adapters(setup)
            logits = logits_of(m.eval(), base)
        except Exception as error:
            print(f"{kind} FAILS: {type(error).__name__} {str(error)[:300]}")
            continue
        if logits.shape != ours.shape:  # a prompt's rows
            t = ours.shape[1]
            logits = torch.cat([logits[:, :1], logits[:, 1 - t:]], 1) if "after_bos" in kind else logits[:, -t:]
        off = (logits - ours).abs().max().item() / ours.abs().max().item()
        worst = max(worst, off)
        strange = [k for part in ["missing_keys", "unexpected_keys"] for k in info.get(part, [])]
        print(f"{kind} off {off:.2g}", "WRONG" if off > 1e-5 else "", f"keys {strange[:3]}" if strange else "")
    print(f"worst {worst:.2g}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--check"]:
        check(sys.argv[2])
    else:
        make(sys.argv[1] if len(sys.argv) > 1 else "")
