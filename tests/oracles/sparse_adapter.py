"""Golden masks of SparseAdapter on the Houlsby adapter of golden/adapter_hub_cases/llama_houlsby.safetensors: the scores of the authors'
pruners written out, with an exact product of the Hessian for GraSP.

    python tests/oracles/sparse_adapter.py
Writes tests/oracles/golden/sparse_adapter.safetensors: `<score>.<our path>`, 1 where a number stays, for keep = 0.4 and each
row of the tiny Llama's batch as a batch of its own; and logits and loss of the adapter under the SNIP mask (whole batch).
"""
import json, math
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

ROOT = "tests/oracles/golden"
BATCH = json.load(open(f"{ROOT}/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
golden = load_file(f"{ROOT}/adapter_hub_cases/llama_houlsby.safetensors")
params = {k[6:]: v.clone().requires_grad_() for k, v in golden.items() if k.startswith("param.")}
weights = {k: p for k, p in params.items() if p.dim() > 1}
m = LlamaForCausalLM.from_pretrained(f"{ROOT}/llama_lora/base", dtype=torch.float32, attn_implementation="eager").eval()
for p in m.parameters():
    p.requires_grad_(False)
current = params


def adapted(path, y):
    at = lambda leaf: current[f"{path}.{leaf}"]
    return y + F.linear(F.silu(F.linear(y, at("down.weight"), at("down.bias"))), at("up.weight"), at("up.bias"))


for i, block in enumerate(m.model.layers):
    block.self_attn.register_forward_hook(lambda _, __, o, i=i: (adapted(f"model.layers.{i}.self_attn", o[0]), *o[1:]))
    block.mlp.register_forward_hook(lambda _, __, o, i=i: adapted(f"model.layers.{i}.mlp", o))


def loss(rows):
    return m(input_ids=IDS[rows], attention_mask=MASK[rows], labels=LABELS[rows]).loss


def mask(scores):
    flat = torch.cat([s.flatten() for s in scores.values()])
    threshold = torch.kthvalue(flat, math.ceil((1 - KEEP) * flat.numel())).values
    return {k: (s > threshold).float() for k, s in scores.items()}


KEEP = 0.4
batches = [slice(0, 1), slice(1, 2)]
names, leaves = list(weights), list(weights.values())
g = [sum(parts) for parts in zip(*[torch.autograd.grad(loss(b), leaves) for b in batches])]
hg = [torch.zeros_like(p) for p in leaves]
for b in batches:
    grads = torch.autograd.grad(loss(b), leaves, create_graph=True)
    dot = sum((s * x).sum() for s, x in zip(g, grads))
    hg = [a + x for a, x in zip(hg, torch.autograd.grad(dot, leaves))]
positive = {k: p.detach().abs().requires_grad_() for k, p in params.items()}
current = positive
ones = torch.ones(1, 7, m.config.hidden_size)
paths = sorted({k.rsplit(".", 2)[0] for k in params})
flow = torch.autograd.grad(sum(adapted(path, ones) for path in paths).mean(), [positive[k] for k in names])
current = params
out = {}
for score, values in {"magnitude": [p.abs() for p in leaves], "snip": [(p * x).abs() for p, x in zip(leaves, g)],
                      "gradient": [x.abs() for x in g], "grasp": [p * x for p, x in zip(leaves, hg)],
                      "synflow": [(positive[k] * x).abs() for k, x in zip(names, flow)]}.items():
    out |= {f"{score}.{k}": v for k, v in mask(dict(zip(names, [v.detach() for v in values]))).items()}
current = {k: p * out[f"snip.{k}"] if k in weights else p for k, p in params.items()}
result = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
result.loss.backward()
out |= {"logits": result.logits, "loss": result.loss.reshape(1)} | {f"grad.of.{k}": p.grad for k, p in params.items()}
save_file({k: v.detach().contiguous().clone() for k, v in out.items()}, f"{ROOT}/sparse_adapter.safetensors")
print(float(result.loss), {k: float(v.mean()) for k, v in out.items() if k.startswith("grasp")})
