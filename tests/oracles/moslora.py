"""The golden case of MoSLoRA on the tiny Llama of llama_lora.py: equation 6 of the paper in torch, as no library has it.

The authors' PEFT of 2024 writes it as lora_B(lora_AB(lora_A(dropout(x)))) * scaling. Made by transformers 4.57 on CPU in float32.
Run from the repository root:
    python tests/oracles/moslora.py
Writes tests/oracles/golden/moslora/moslora.safetensors as reparam.py does.
"""
import json, os
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaForCausalLM

GOLDEN = "tests/oracles/golden"
BATCH = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
TARGETS, R, ALPHA = ["q_proj", "v_proj", "down_proj"], 3, 5


class MosLora(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.a = nn.Parameter(torch.randn(R, layer.in_features) * 0.2)
        self.m = nn.Parameter(torch.randn(R, R) * 0.5)
        self.b = nn.Parameter(torch.randn(layer.out_features, R) * 0.2)

    def forward(self, x):
        return self.layer(x) + ALPHA / R * (((x @ self.a.T) @ self.m.T) @ self.b.T)

    def merged(self):
        layer = nn.Linear(self.layer.in_features, self.layer.out_features, bias=False)
        layer.weight = nn.Parameter(self.layer.weight + ALPHA / R * self.b @ self.m @ self.a)
        return layer


def base():
    return LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager").eval()


def run(m):
    ids, mask, wanted = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
    return m(input_ids=ids, attention_mask=mask, labels=wanted)


def replace(m, kind, by):
    """Puts by(layer) in the place of each layer of a kind."""
    for path, layer in list(m.named_modules()):
        if path.rsplit(".", 1)[-1] in TARGETS and isinstance(layer, kind):
            m.set_submodule(path, by(layer))
    return m


torch.manual_seed(11)
m = base().requires_grad_(False)
replace(m, nn.Linear, MosLora)
params = {path: p for path, p in m.named_parameters() if p.requires_grad}
out = run(m)
grads = torch.autograd.grad(out.loss, list(params.values()))
tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
for (path, p), g in zip(params.items(), grads):
    tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
for step in range(3):
    optimizer.zero_grad()
    run(m).loss.backward()
    optimizer.step()
tensors |= {f"step.{path}": p.detach().clone() for path, p in params.items()}
with torch.no_grad():
    for path, p in params.items():
        p.copy_(tensors[f"param.{path}"])
    tensors["merged"] = run(replace(m, MosLora, lambda layer: layer.merged())).logits
os.makedirs(f"{GOLDEN}/moslora", exist_ok=True)
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/moslora/moslora.safetensors")
print("moslora", float(out.loss), float((tensors["merged"] - tensors["logits"]).abs().max()))
