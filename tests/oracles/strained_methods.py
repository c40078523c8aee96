"""Golden cases of the methods that strain the edit vocabulary, on the tiny Llama of llama_lora.py.

Made by transformers 4.57 and peft 0.21 on CPU in float32; what no library offers is a literal transcription of the
method's equations in torch (said at each case). Run from the repository root, after llama_lora.py:
    python tests/oracles/strained_methods.py
Writes tests/oracles/golden/strained_methods/<case>.safetensors with `param.<our path>`, `grad.<our path>`, logits and loss.
"""
import copy, itertools, json, os, tempfile
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicCache
from peft import LoraConfig, PrefixTuningConfig, XLoraConfig, get_peft_model

OUT = "tests/oracles/golden/strained_methods"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open("tests/oracles/golden/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
L, D = 2, 24


def base():
    return LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32,
                                            attn_implementation="eager")


def noise(params, scale=0.2):
    with torch.no_grad():
        for p in params:
            p.add_(torch.randn_like(p) * scale)


def save(case, params, logits, loss, extra={}):
    """params: our path -> the leaf; its gradient is taken here."""
    named = list(params.items())
    grads = torch.autograd.grad(loss, [p for _, p in named])
    tensors = {"logits": logits, "loss": loss.reshape(1), **extra}
    for (path, p), g in zip(named, grads):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p, g
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{case}.safetensors")
    print(case, float(loss))


def causal_loss(logits):
    return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), LABELS[:, 1:].reshape(-1))


def run(model):
    out = model(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    return out.logits, out.loss


# DoRA by PEFT
torch.manual_seed(1)
m = get_peft_model(base(), LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True))
noise(p for p in m.parameters() if p.requires_grad)
m.eval()
NAMES = {"lora_A.default.weight": "a", "lora_B.default.weight": "b", "lora_magnitude_vector.default.weight": "magnitude"}


def ours(name, names=NAMES):
    name = name.replace("base_model.model.", "", 1)
    for theirs, mine in names.items():
        name = name.replace(theirs, mine)
    return name


save("dora", {ours(n): p for n, p in m.named_parameters() if p.requires_grad}, *run(m))

# DoRA on a base quantized to nf4: bitsandbytes' codes, and the equation of the paper on the decoded weights.
import bitsandbytes.functional as bnb

torch.manual_seed(2)
m = base()
for p in m.parameters():
    p.requires_grad_(False)
decoded = {}
for name, module in m.named_modules():
    if isinstance(module, torch.nn.Linear) and name != "lm_head":
        codes, state = bnb.quantize_4bit(module.weight.data.contiguous(), blocksize=64, quant_type="nf4")
        module.weight.data = bnb.dequantize_4bit(codes, state).to(torch.float32)
params = {}
for name, module in m.named_modules():
    if name.split(".")[-1] in ["q_proj", "o_proj"]:
        n, k = module.weight.shape
        a, b = torch.randn(2, k) * 0.3, torch.randn(n, 2) * 0.3
        mag = module.weight.norm(dim=1) + torch.randn(n) * 0.2
        for leaf, t in [("a", a), ("b", b), ("magnitude", mag)]:
            params[f"{name}.{leaf}"] = t.requires_grad_()

        def forward(x, w=module.weight, a=a, b=b, mag=mag):
            v = w + 1.5 * b @ a
            return F.linear(x, (mag / v.norm(dim=1).detach())[:, None] * v)

        module.forward = forward
save("dora_nf4", params, *run(m))

# Prefix tuning by PEFT, flat and through its network. Position of a row: [n, 2 layer + {0 key, 1 value}, head, headDim].
torch.manual_seed(3)
m = get_peft_model(base(), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5))
table = m.prompt_encoder["default"].embedding.weight
noise([table])
m.eval()
logits, loss = run(m)
grad = torch.autograd.grad(loss, table)[0]
tensors = {"logits": logits, "loss": loss.reshape(1)}
for kind, t in [("param", table), ("grad", grad)]:
    rows = t.reshape(5, 2 * L, 2, 6)
    for layer in range(L):
        for i, leaf in enumerate("kv"):
            tensors[f"{kind}.model.layers.{layer}.self_attn.{leaf}"] = rows[:, 2 * layer + i]
# Greedy continuation, by the definition (a cache that begins with the prefix), since generate() wants matching versions.
def continue_greedily(ids, steps):
    generated = []
    past = None
    rows = table.reshape(5, 2 * L, 2, 6)
    legacy = [tuple(rows[:, 2 * layer + i].permute(1, 0, 2)[None] for i in range(2)) for layer in range(L)]
    past = DynamicCache.from_legacy_cache(tuple(legacy))
    inner = m.get_base_model()
    feed = torch.tensor([ids])
    for _ in range(steps):
        out = inner(input_ids=feed, past_key_values=past, use_cache=True)
        past = out.past_key_values
        feed = out.logits[:, -1].argmax(-1)[:, None]
        generated.append(int(feed))
    return generated
tensors["generated"] = torch.tensor(continue_greedily([5, 9, 31, 2], 8), dtype=torch.float32)
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/prefix.safetensors")
try:
    theirs = m.generate(input_ids=torch.tensor([[5, 9, 31, 2]]), max_new_tokens=8, do_sample=False, eos_token_id=None,
                        pad_token_id=0)
    print("generate() of peft:", theirs[0, 4:].tolist(), "ours:", tensors["generated"].tolist())
except Exception as e:  # noqa: only reported
    print("generate() of peft failed:", e)

torch.manual_seed(4)
m = get_peft_model(base(), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=True,
                                              encoder_hidden_size=7))
encoder = m.prompt_encoder["default"]
noise(encoder.parameters())
m.eval()
logits, loss = run(m)
leaves = {"tokens": encoder.embedding.weight, "hidden.weight": encoder.transform[0].weight,
          "hidden.bias": encoder.transform[0].bias}
last = {"weight": encoder.transform[2].weight, "bias": encoder.transform[2].bias}
grads = torch.autograd.grad(loss, [*leaves.values(), *last.values()])
tensors = {"logits": logits, "loss": loss.reshape(1)}
for (name, p), g in zip(leaves.items(), grads):
    tensors[f"param.network.decoder.self.{name}"], tensors[f"grad.network.decoder.self.{name}"] = p, g
for (name, p), g in zip(last.items(), grads[3:]):
    for kind, t in [("param", p), ("grad", g)]:
        parts = t.reshape(2 * L, 12, *t.shape[1:])
        for layer in range(L):
            for i, leaf in enumerate("kv"):
                tensors[f"{kind}.model.layers.{layer}.self_attn.{leaf}.{name}"] = parts[2 * layer + i]
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/prefix_network.safetensors")

# X-LoRA by PEFT
def xlora(case, experts, **options):
    torch.manual_seed(5)
    with tempfile.TemporaryDirectory() as folder:
        paths, weights = {}, {}
        for i in range(experts):
            e = get_peft_model(base(), LoraConfig(r=2 + i, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"],
                                                  task_type="CAUSAL_LM"))
            noise((p for p in e.parameters() if p.requires_grad), 0.3)
            e.save_pretrained(f"{folder}/{i}")
            paths[str(i)] = f"{folder}/{i}"
            for n, p in e.named_parameters():
                if p.requires_grad:
                    weights[f"expert{i}.{ours(n)}"] = p.detach()
        model = base()
        model.config.use_cache = False
        m = get_peft_model(model, XLoraConfig(task_type="CAUSAL_LM", hidden_size=D, adapters=paths, xlora_dropout_p=0.0,
                                              **options))
        classifier = m.base_model.internal_xlora_classifier
        noise(classifier.parameters(), 0.4)
        m.train()
        logits, loss = run(m)
        linears = [x for x in classifier.layers if isinstance(x, torch.nn.Linear)]
        params = {f"router.{i}.{leaf}": getattr(x, leaf) for i, x in enumerate(linears) for leaf in ["weight", "bias"]}
        save(case, params, logits, loss, weights)


xlora("xlora", 2, xlora_depth=1, layerwise_scalings=False, softmax_temperature=0.7, global_scaling_weight=1.5)
xlora("xlora_layerwise", 3, xlora_depth=2, xlora_size=5, layerwise_scalings=True, top_k_lora=2, enable_softmax_topk=True)

# AdaMix: literal transcription. Two experts for D and U each, two layers: all 16 routes. Position: after the FFN,
# residual = its own input.
torch.manual_seed(6)
R, E = 5, 2
params = {}
for layer in range(L):
    path = f"model.layers.{layer}.mlp"
    for leaf, shape in [("down.weight", (E, R, D)), ("down.bias", (E, R)), ("up.weight", (E, D, R)), ("up.bias", (E, D))]:
        params[f"{path}.{leaf}"] = (torch.randn(*shape) * 0.3).requires_grad_()


def adamix(pick):
    """pick(layer, leaf) -> a weight for each expert."""
    m = base()
    for p in m.parameters():
        p.requires_grad_(False)
    for layer in range(L):
        mlp = m.model.layers[layer].mlp
        inner = mlp.forward
        t = {leaf: torch.einsum("e,e...->...", pick(layer, leaf.split(".")[0]), params[f"model.layers.{layer}.mlp.{leaf}"])
             for leaf in ["down.weight", "down.bias", "up.weight", "up.bias"]}

        def forward(x, inner=inner, t=t):
            y = inner(x)
            return y + F.linear(F.gelu(F.linear(y, t["down.weight"], t["down.bias"])), t["up.weight"], t["up.bias"])

        mlp.forward = forward
    return m(input_ids=IDS, attention_mask=MASK).logits


def routed(route):  # (D of layer 0, U of layer 0, D of layer 1, U of layer 1)
    return adamix(lambda layer, part: F.one_hot(torch.tensor(route[2 * layer + (part == "up")]), E).float())


def labelled(logits):
    chosen = LABELS[:, 1:] != -100
    return logits[:, :-1][chosen], LABELS[:, 1:][chosen]


def consistent(one, two):
    z1, labels = labelled(one)
    z2, _ = labelled(two)
    p, q = F.log_softmax(z1, -1), F.log_softmax(z2, -1)
    kl = F.kl_div(p, q.exp().detach(), reduction="batchmean") + F.kl_div(q, p.exp().detach(), reduction="batchmean")
    return F.cross_entropy(z1, labels) + 0.5 * kl


routes = list(itertools.product(range(E), repeat=4))
with torch.no_grad():
    all_logits = [routed(r) for r in routes]
    table = torch.stack([torch.stack([consistent(a, b) for b in all_logits]) for a in all_logits])
mean = adamix(lambda layer, part: torch.full((E,), 1 / E))
ROUTE1, ROUTE2 = (0, 1, 1, 0), (1, 1, 0, 0)
loss = consistent(routed(ROUTE1), routed(ROUTE2))
save("adamix", params, mean, loss, {"consistency": table})

# Ladder side-tuning: literal transcription around transformers' own small blocks.
torch.manual_seed(7)
RHO, T = 3, 0.1
d = D // RHO
small = LlamaForCausalLM(LlamaConfig(vocab_size=37, hidden_size=d, intermediate_size=28 // RHO, num_hidden_layers=L,
                                     num_attention_heads=4, num_key_value_heads=2, head_dim=2, max_position_embeddings=64,
                                     rms_norm_eps=1e-5, rope_theta=500.0, attn_implementation="eager"))
m = base()
for p in m.parameters():
    p.requires_grad_(False)
params = {"first.weight": torch.randn(d, D) * 0.2, "first.bias": torch.randn(d) * 0.2,
          "up.weight": torch.randn(D, d) * 0.3, "up.bias": torch.randn(D) * 0.2}
for layer in range(L):
    params |= {f"downs.{layer}.weight": torch.randn(d, D) * 0.2, f"downs.{layer}.bias": torch.randn(d) * 0.2,
               f"gates.{layer}": torch.randn(1) * 0.1}
for p in params.values():
    p.requires_grad_()
for n, p in small.model.named_parameters():
    if not n.startswith("embed_tokens"):
        noise([p], 0.3)
        params[f"side.model.{n}"] = p
with torch.no_grad():
    out = m.model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True)
    # the last entry of hidden_states is normed: take the blocks' own outputs
    taps = []
    hooks = [b.register_forward_hook(lambda _, __, o: taps.append(o[0] if isinstance(o, tuple) else o)) for b in m.model.layers]
    m.model(input_ids=IDS, attention_mask=MASK)
    for h in hooks:
        h.remove()
    e = m.model.embed_tokens(IDS)
positions = torch.arange(IDS.shape[1])[None]
rotary = small.model.rotary_emb(e, positions)
causal = torch.full((7, 7), float("-inf")).triu(1)[None, None] + (1 - MASK[:, None, None, :].float()) * -1e30
s = F.linear(e, params["first.weight"], params["first.bias"])
for layer in range(L):
    mu = torch.sigmoid(params[f"gates.{layer}"] / T)
    s = mu * s + (1 - mu) * F.linear(taps[layer], params[f"downs.{layer}.weight"], params[f"downs.{layer}.bias"])
    s = small.model.layers[layer](s, attention_mask=causal, position_ids=positions, position_embeddings=rotary)
    s = s[0] if isinstance(s, tuple) else s
logits = m.lm_head(F.linear(small.model.norm(s), params["up.weight"], params["up.bias"]))
save("ladder", params, logits, causal_loss(logits))
