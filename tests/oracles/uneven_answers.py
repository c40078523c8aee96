"""A step over texts whose answers are of very different lengths: the loss is a mean over all labels of the step, as transformers
takes it with `num_items_in_batch`, whatever processes hold which texts.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/uneven_answers.py
Writes tests/oracles/golden/uneven_answers/lora.safetensors on the tiny Llama of llama_lora.py: param.* before and step.* after
three steps of AdamW, the loss of each step, and the mean of the texts' means, which is not it. texts.json has the texts.
"""
import json, os, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import LoraConfig, get_peft_model

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
TEXTS = [
    {"inputIds": [5, 9, 2], "labels": [-100, -100, 2]},
    {"inputIds": [7, 3, 11, 4, 8, 6, 12, 1, 20, 15], "labels": [-100, 3, 11, 4, 8, 6, 12, 1, 20, 15]},
    {"inputIds": [30, 31], "labels": [-100, 31]},
    {"inputIds": [14, 2, 19, 25, 33], "labels": [-100, -100, 19, 25, 33]},
]

torch.manual_seed(5)
model = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager")
m = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"]))
with torch.no_grad():
    for p in m.parameters():
        if p.requires_grad:
            p.add_(torch.randn(p.shape) * 0.2)
m.eval()
ours = lambda name: ".".join(
    {"lora_A": "a", "lora_B": "b"}.get(part, part)
    for part in name.removeprefix("base_model.model.").removesuffix(".weight").split(".") if part != "default"
)
params = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
tensors = {f"param.{path}": p.detach().clone() for path, p in params.items()}
labels = sum(sum(label != -100 for label in text["labels"]) for text in TEXTS)
optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.0)
losses, means = [], []
for _ in range(3):
    optimizer.zero_grad()
    loss, mean = 0.0, 0.0
    for text in TEXTS:
        ids, wanted = (torch.tensor([text[k]]) for k in ["inputIds", "labels"])
        part = m(input_ids=ids, labels=wanted, num_items_in_batch=labels).loss
        part.backward()
        loss += float(part.detach())
        mean += float(part.detach()) * labels / sum(label != -100 for label in text["labels"]) / len(TEXTS)
    losses.append(loss)
    means.append(mean)
    optimizer.step()
for path, p in params.items():
    tensors[f"step.{path}"] = p.detach().clone()
tensors["losses"], tensors["means"] = torch.tensor(losses), torch.tensor(means)
os.makedirs(f"{GOLDEN}/uneven_answers", exist_ok=True)
save_file({k: v.contiguous() for k, v in tensors.items()}, f"{GOLDEN}/uneven_answers/lora.safetensors")
json.dump(TEXTS, open(f"{GOLDEN}/uneven_answers/texts.json", "w"))
print(losses, means)
