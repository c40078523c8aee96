"""The golden case of LoRA-GA on the tiny Llama of llama_lora.py: gradients by torch, factors as in algorithm 1 of the paper.

PEFT 0.21 multiplies B by the singular values and scales B alone, which the paper and its authors' code do not, so the factors
are put into PEFT's LoRA layers by hand. Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/lora_ga.py
Writes tests/oracles/golden/lora_ga/<case>.safetensors as prepared_lora.py does, and batches.json, of which the gradients are.
"""
import copy, json, os
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import LoraConfig, get_peft_model

GOLDEN = "tests/oracles/golden"
OUT = f"{GOLDEN}/lora_ga"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
TARGETS, R, ALPHA, GAMMA = ["q_proj", "v_proj", "down_proj"], 2, 3, 16
CASES = {"lora_ga": ("ArB2r", "stable"), "lora_ga_unit": ("A2rBr", "unit"), "lora_ga_alternating": ("ArBr", "stable")}


def base():
    return LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager")


def run(m, batch):
    ids, mask, wanted = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
    return m(input_ids=ids, attention_mask=mask, labels=wanted)


def factors(g, direction, scale):
    u, _, vt = torch.linalg.svd(g.double(), full_matrices=False)
    # The entry of largest magnitude of each column of U is positive, as ours.
    signs = torch.sign(u[u.abs().argmax(0), torch.arange(u.shape[1])])
    u, vt = u * signs, vt * signs[:, None]
    b, a = {
        "ArB2r": (u[:, R:2 * R], vt[:R]),
        "A2rBr": (u[:, :R], vt[R:2 * R]),
        "ArBr": (u[:, 0:2 * R:2], vt[1:2 * R:2]),
    }[direction]
    times = g.shape[0] ** 0.25 / GAMMA**0.5 if scale == "stable" else 1
    return (a * times).float(), (b * times).float()


def ours(name):
    name = name.replace("base_model.model.", "", 1)
    return name.replace("lora_A.default.weight", "a").replace("lora_B.default.weight", "b")


shifted = {k: [[(x + 3) % 30 if x >= 0 else x for x in row] for row in BATCH[k]] for k in ["inputIds", "labels"]}
batches = [BATCH, {**BATCH, **shifted}]
json.dump(batches, open(f"{OUT}/batches.json", "w"))
whole = base().eval()
for batch in batches:
    run(whole, batch).loss.backward()
gradients = {n: p.grad / len(batches) for n, p in whole.named_parameters()}

for case, (direction, scale) in CASES.items():
    m = get_peft_model(base(), LoraConfig(target_modules=TARGETS, r=R, lora_alpha=ALPHA)).eval()
    with torch.no_grad():
        for name, module in m.named_modules():
            if hasattr(module, "lora_A") and len(module.lora_A):
                a, b = factors(gradients[name.replace("base_model.model.", "", 1) + ".weight"], direction, scale)
                module.base_layer.weight.sub_(ALPHA / R * b @ a)
                module.lora_A["default"].weight.copy_(a)
                module.lora_B["default"].weight.copy_(b)
    trained = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    tensors = {f"init.{n}": p.detach().clone() for n, p in trained.items()}
    tensors["logits0"] = run(m, BATCH).logits
    torch.manual_seed(11)
    with torch.no_grad():
        for p in trained.values():
            p.add_(torch.randn_like(p) * 0.1)
    tensors |= {f"param.{n}": p.detach().clone() for n, p in trained.items()}
    out = run(m, BATCH)
    tensors |= {"logits": out.logits, "loss": out.loss.reshape(1)}
    out.loss.backward()
    tensors |= {f"grad.{n}": p.grad.clone() for n, p in trained.items()}
    tensors["merged"] = run(copy.deepcopy(m).merge_and_unload(), BATCH).logits
    optimizer = torch.optim.AdamW(list(trained.values()), lr=0.01, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        run(m, BATCH).loss.backward()
        optimizer.step()
    tensors |= {f"after.{n}": p.detach().clone() for n, p in trained.items()}
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{case}.safetensors")
    print(case, float(out.loss))
