"""Golden cases of LoRA variants that start from the weights, on the tiny Llama of llama_lora.py (run that first).

PiSSA and OLoRA by peft 0.21; LoftQ and QPiSSA by literal transcriptions of the papers' algorithms over bitsandbytes' nf4
(peft leaves the scaling out of LoftQ). Signs of singular vectors are fixed as ours are: the entry of largest magnitude of
each column of B positive; for QR the diagonal of R. Written for each case: the parameters at first (init.), after noise
(param.), logits at first (logits0), logits and loss with noise, gradients, logits of the merged model and the parameters
after three steps of AdamW (after.). Run from the repository root:
    python tests/oracles/prepared_lora.py
"""
import copy, json, os
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import LoraConfig, get_peft_model
import bitsandbytes.functional as bnb

OUT = "tests/oracles/golden/prepared_lora"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open("tests/oracles/golden/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
TARGETS = ["q_proj", "v_proj", "down_proj"]
RATE = 0.01


def base():
    return LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32,
                                            attn_implementation="eager")


def run(m):
    return m(input_ids=IDS, attention_mask=MASK, labels=LABELS)


def ours(name):
    name = name.replace("base_model.model.", "", 1)
    for theirs, mine in {"lora_A.default.weight": "a", "lora_B.default.weight": "b", "lora_embedding_A.default": "a",
                         "lora_embedding_B.default": "b", "lora_A.default": "a", "lora_B.default": "b",
                         "lora_E.default": "e"}.items():
        if name.endswith(theirs):
            name = name[:-len(theirs)] + mine
    return name


def fix_signs(m, by):
    with torch.no_grad():
        for module in m.modules():
            if hasattr(module, "lora_A") and len(module.lora_A):
                a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
                if by == "b":
                    signs = torch.sign(b[b.abs().argmax(0), torch.arange(b.shape[1])])
                else:  # the diagonal of R
                    signs = torch.sign(torch.diagonal(a))
                a.mul_(signs[:, None])
                b.mul_(signs)


def record(case, m, merged, rates=None):
    """`merged(m)` gives a plain model. The model is consumed."""
    trained = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    m.eval()
    tensors = {f"init.{n}": p.detach().clone() for n, p in trained.items()}
    tensors["logits0"] = run(m).logits
    torch.manual_seed(11)
    with torch.no_grad():
        for p in trained.values():
            p.add_(torch.randn_like(p) * 0.1)
    tensors |= {f"param.{n}": p.detach().clone() for n, p in trained.items()}
    out = run(m)
    tensors |= {"logits": out.logits, "loss": out.loss.reshape(1)}
    out.loss.backward()
    tensors |= {f"grad.{n}": p.grad.clone() for n, p in trained.items()}
    tensors["merged"] = run(merged(copy.deepcopy(m))).logits
    groups = [{"params": [p], "lr": RATE * (rates(n) if rates else 1)} for n, p in trained.items()]
    optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        run(m).loss.backward()
        optimizer.step()
    tensors |= {f"after.{n}": p.detach().clone() for n, p in trained.items()}
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{case}.safetensors")
    print(case, float(out.loss))


def by_peft(case, signs, **options):
    torch.manual_seed(1)
    m = get_peft_model(base(), LoraConfig(target_modules=TARGETS, **options))
    fix_signs(m, signs)
    record(case, m, lambda m: m.merge_and_unload())


by_peft("pissa", "b", r=3, lora_alpha=5, init_lora_weights="pissa")
by_peft("olora", "r", r=3, lora_alpha=5, init_lora_weights="olora")


def nf4(w):
    codes, state = bnb.quantize_4bit(w.contiguous(), blocksize=64, quant_type="nf4")
    return bnb.dequantize_4bit(codes, state).to(torch.float32)


def leading(w, r, s):
    u, values, vt = (t.float() for t in torch.linalg.svd(w.double(), full_matrices=False))
    root = (values[:r] / s).sqrt()
    signs = torch.sign(u[:, :r][u[:, :r].abs().argmax(0), torch.arange(r)])
    return root[:, None] * vt[:r] * signs[:, None], u[:, :r] * root * signs


def loftq(w, r, s, steps):
    rest = w
    for _ in range(steps):
        q = nf4(rest)
        a, b = leading(w - q, r, s)
        rest = w - s * b @ a
    return q, a, b


def qpissa(w, r, s, steps):
    a, b = leading(w, r, s)
    q = nf4(w - s * b @ a)
    for _ in range(steps - 1):
        a, b = leading(w - q, r, s)
        q = nf4(w - s * b @ a)
    return q, a, b


def by_hand(case, split, r, alpha, steps):
    m = get_peft_model(base(), LoraConfig(target_modules=TARGETS, r=r, lora_alpha=alpha))
    tensors = {}
    with torch.no_grad():
        for name, module in m.named_modules():
            if hasattr(module, "lora_A") and len(module.lora_A):
                q, a, b = split(module.base_layer.weight.data.clone(), r, alpha / r, steps)
                module.base_layer.weight.copy_(q)
                module.lora_A["default"].weight.copy_(a)
                module.lora_B["default"].weight.copy_(b)
    record(case, m, lambda m: m.merge_and_unload())


by_hand("loftq", loftq, 3, 5, 1)
by_hand("loftq5", loftq, 3, 5, 5)
by_hand("qpissa", qpissa, 3, 5, 1)
by_hand("qpissa3", qpissa, 3, 5, 3)

# LoRA+ : groups of peft's create_loraplus_optimizer, B sixteen times as fast as A.
torch.manual_seed(1)
m = get_peft_model(base(), LoraConfig(target_modules=TARGETS, r=3, lora_alpha=5))
record("lora_plus", m, lambda m: m.merge_and_unload(), rates=lambda n: 16 if n.endswith(".b") else 1)
torch.manual_seed(1)
m = get_peft_model(base(), LoraConfig(target_modules=TARGETS, r=3, lora_alpha=5, use_rslora=True))
record("rslora", m, lambda m: m.merge_and_unload())


# AdaLoRA by peft: three steps without a budget as above, then a whole budget. peft adds the penalty to the loss, but only
# with a task type.
from peft import AdaLoraConfig

ADA = dict(task_type="CAUSAL_LM", target_modules=TARGETS, init_r=4, target_r=2, lora_alpha=5, orth_reg_weight=0.3, beta1=0.7, beta2=0.6)
torch.manual_seed(1)
m = get_peft_model(base(), AdaLoraConfig(total_step=10, **ADA))
record("adalora", m, lambda m: m.merge_and_unload())

torch.manual_seed(2)
m = get_peft_model(base(), AdaLoraConfig(total_step=9, tinit=1, tfinal=2, deltaT=2, **ADA))
trained = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
m.eval()
tensors = {f"param.{n}": p.detach().clone() for n, p in trained.items()}
optimizer = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0)
for step in range(1, 10):
    optimizer.zero_grad()
    loss = run(m).loss
    loss.backward()
    optimizer.step()
    m.base_model.update_and_allocate(step)
    tensors[f"loss.{step}"] = loss.reshape(1)
    for n, p in trained.items():
        if n.endswith(".e"):
            tensors[f"e.{step}.{n}"] = p.detach().clone()
    if step == 6:  # the last with averages that are still used
        allocator = m.base_model.rankallocator
        for n in allocator.exp_avg_ipt:
            tensors[f"sensitivity.{ours(n)}"] = allocator.exp_avg_ipt[n].clone()
            tensors[f"uncertainty.{ours(n)}"] = allocator.exp_avg_unc[n].clone()
    budget, masks = m.base_model.rankallocator.budget_schedule(step)
    tensors[f"budget.{step}"] = torch.tensor([float(budget), float(masks)])
    print("adalora step", step, budget, masks, sum(int((p != 0).sum()) for n, p in trained.items() if n.endswith(".e")))
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/adalora_budget.safetensors")
