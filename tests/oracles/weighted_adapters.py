"""Golden combinations: what HF PEFT's add_weighted_adapter makes of two LoRA adapters, as updates of the matrices.

Only the kinds that PEFT takes over whole updates, as this library does: "cat", "svd", "ties_svd" and "magnitude_prune_svd", at
full rank. (Its "linear" adds factors, which is another sum.) Made by peft 0.21 on CPU in float32. From the repository root:
    python tests/oracles/weighted_adapters.py
Writes tests/oracles/golden/weighted_adapters/: the folders one/ and two/, and updates.safetensors under "<kind>.<layer>".
"""
import os, shutil
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model

ROOT = "tests/oracles/golden/weighted_adapters"
WEIGHTS = [0.5, -1.25]
KINDS = {
    "cat": dict(combination_type="cat"),
    "svd": dict(combination_type="svd"),
    "ties": dict(combination_type="ties_svd", density=0.4, majority_sign_method="total"),
    "tiesFrequency": dict(combination_type="ties_svd", density=0.7, majority_sign_method="frequency"),
    "magnitudePrune": dict(combination_type="magnitude_prune_svd", density=0.3),
}

model = AutoModelForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32)
targets = ["q_proj", "o_proj"]
peft = get_peft_model(model, LoraConfig(r=3, lora_alpha=5, target_modules=targets), adapter_name="one")
peft.add_adapter("two", LoraConfig(r=2, lora_alpha=3, target_modules=targets))
torch.manual_seed(11)
with torch.no_grad():
    for name, p in peft.named_parameters():
        if "lora_" in name:
            p.copy_(torch.randn_like(p) * 0.3)
shutil.rmtree(ROOT, ignore_errors=True)
os.makedirs(ROOT)
peft.save_pretrained(ROOT)
for path in ["README.md", "one/README.md", "two/README.md"]:
    if os.path.exists(f"{ROOT}/{path}"):
        os.remove(f"{ROOT}/{path}")
layers = {name: m for name, m in peft.named_modules() if hasattr(m, "get_delta_weight") and hasattr(m, "lora_A")}
full = min(min(m.base_layer.weight.shape) for m in layers.values())
updates = {}
for kind, options in KINDS.items():
    peft.base_model.add_weighted_adapter(["one", "two"], WEIGHTS, kind, svd_rank=None if kind == "cat" else full, **options)
    for name, m in layers.items():
        updates[f"{kind}.{name.removeprefix('base_model.model.')}"] = m.get_delta_weight(kind).detach().contiguous().clone()
save_file(updates, f"{ROOT}/updates.safetensors")
print({name: tuple(t.shape) for name, t in updates.items()})
