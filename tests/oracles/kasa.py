"""The golden case of KaSA, which PEFT has as a variant of LoRA, its penalty included.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/kasa.py
Writes tests/oracles/golden/kasa/kasa.safetensors as reparam.py does, on the tiny Llama of llama_lora.py. What the base loses is
the truncated base's difference, factorised by torch.
"""
import copy, json, os, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import KasaConfig

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
NAMES = {"lora_A": "a", "lora_B": "b", "lora_diag": "sigma"}
RANK = 3


def load():
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager")


def run(m, batch):
    ids, mask, wanted = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
    out = m(input_ids=ids, attention_mask=mask, labels=wanted)
    penalty = m.base_model._get_kasa_loss() if hasattr(m, "base_model") and hasattr(m.base_model, "_get_kasa_loss") else 0
    return out.logits, out.loss + penalty


def ours(name):
    parts = name.removeprefix("base_model.model.").removesuffix(".weight").split(".")
    return ".".join(NAMES.get(part, part) for part in parts if part != "default")


batch = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
torch.manual_seed(11)
config = LoraConfig(r=RANK, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj"], kasa_config=KasaConfig(beta=0.01, gamma=0.02))
m = get_peft_model(load(), config)
with torch.no_grad():
    for p in m.parameters():
        if p.requires_grad:
            p.add_(torch.randn(p.shape) * 0.2)
m.eval()
params = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
logits, loss = run(m, batch)
grads = torch.autograd.grad(loss, list(params.values()))
tensors = {"logits": logits, "loss": loss.reshape(1)}
whole = dict(load().named_parameters())
for path in sorted({path.rsplit(".", 1)[0] for path in params}):
    left = m.get_parameter(f"base_model.model.{path}.base_layer.weight")
    # The largest entry of each left vector is positive, as ours.
    u, s, v = (t[..., :RANK] for t in torch.svd((whole[f"{path}.weight"] - left).double().detach()))
    order = torch.argsort(s, descending=True)
    sign = torch.sign(u.gather(0, u.abs().argmax(0, keepdim=True)))
    tensors[f"param.{path}.frozen.u"] = (u * sign * s)[:, order].float()
    tensors[f"param.{path}.frozen.v"] = (v * sign)[:, order].T.float()
for (path, p), g in zip(params.items(), grads):
    tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
with torch.no_grad():
    tensors["merged"] = run(copy.deepcopy(m).merge_and_unload(), batch)[0]
optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
for _ in range(3):
    optimizer.zero_grad()
    run(m, batch)[1].backward()
    optimizer.step()
for path, p in params.items():
    tensors[f"step.{path}"] = p
# Ours is a column.
tensors = {k: v.reshape(-1, 1) if k.endswith(".sigma") else v for k, v in tensors.items()}
os.makedirs(f"{GOLDEN}/kasa", exist_ok=True)
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/kasa/kasa.safetensors")
print("kasa", float(loss))
