"""Golden case: a Pfeiffer adapter on the tiny Llama of llama_lora.py, by adapters 1.3.

    python tests/oracles/pfeiffer.py
Writes tests/oracles/golden/pfeiffer/pfeiffer.safetensors with `param.<our path>`, `grad.<our path>`, logits and loss.
"""
import json, os
import torch
import adapters
from adapters import SeqBnConfig
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

OUT = "tests/oracles/golden/pfeiffer"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open("tests/oracles/golden/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
torch.manual_seed(0)
m = LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32, attn_implementation="eager")
adapters.init(m)
m.add_adapter("a", config=SeqBnConfig(reduction_factor=5))
m.train_adapter("a")
trained = {n: p for n, p in m.named_parameters() if p.requires_grad}
with torch.no_grad():
    for p in trained.values():
        p.add_(torch.randn_like(p) * 0.2)
m.eval()
out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
out.loss.backward()
tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
for n, p in trained.items():
    path = n.replace("output_adapters.adapters.a.adapter_down.0", "mlp.down").replace(
        "output_adapters.adapters.a.adapter_up", "mlp.up")
    tensors[f"param.{path}"], tensors[f"grad.{path}"] = p, p.grad
print(float(out.loss), {n: list(t.shape) for n, t in tensors.items() if n.startswith("param")})
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/pfeiffer.safetensors")
