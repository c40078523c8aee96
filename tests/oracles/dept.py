"""Golden cases of DePT, whose equation 5 no library has, in torch: on the tiny Llama of llama_lora.py and on the tiny T5 of encoders.py.

As the authors' peft/tuners/prompt_tuning_lora.py and peft_model.py, inputs_embeds = [prompt; E(ids) + (A @ B) * alpha / sqrt(r)], the
second term for the first s tokens of a text; and on a decoder, too, from its first token. Made by transformers 4.57 on CPU in
float32. Run from the repository root:
    python tests/oracles/dept.py
Writes tests/oracles/golden/dept/<case>.safetensors with `param.<our path>`, `grad.<our path>`, logits and loss; for the Llama also
`step.<our path>` as reparam.py does, and generated.<i>, the continuations of two prompts.
"""
import json, math, os
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM, T5ForConditionalGeneration

GOLDEN = "tests/oracles/golden"
os.makedirs(f"{GOLDEN}/dept", exist_ok=True)
N, S, R, ALPHA = 4, 5, 3, 7


def fresh(d):
    sizes = {"rows": (N, d), "a": (S, R), "b": (R, d)}
    return {name: torch.nn.Parameter(torch.randn(size) * 0.4) for name, size in sizes.items()}


def embedded(table, ids, p):
    x = table(ids)
    change = p["a"] @ p["b"] * ALPHA / math.sqrt(R)
    t = min(S, x.shape[1])
    x = torch.cat([x[:, :t] + change[:t], x[:, t:]], 1)
    return torch.cat([p["rows"].expand(len(ids), N, -1), x], 1)


def widened(rows, value):
    return torch.cat([torch.full((len(rows), N), value), rows], 1)


def save(case, p, out, more):
    grads = torch.autograd.grad(out["loss"], list(p.values()))
    tensors = {"logits": out["logits"], "loss": out["loss"].reshape(1)}
    tensors |= {f"param.{n}": t.detach().clone() for n, t in p.items()} | {f"grad.{n}": g for n, g in zip(p, grads)} | more(p)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/dept/{case}.safetensors")
    print(case, float(out["loss"].detach()))


torch.manual_seed(11)
batch = {k: torch.tensor(v) for k, v in json.load(open(f"{GOLDEN}/llama_lora/batch.json")).items()}
m = LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager").eval().requires_grad_(False)


def llama(p):
    out = m(inputs_embeds=embedded(m.get_input_embeddings(), batch["inputIds"], p), attention_mask=widened(batch["attentionMask"], 1),
            labels=widened(batch["labels"], -100))
    return {"logits": out.logits[:, N:], "loss": out.loss}


def stepped(p):
    more = {}
    for i, prompt in enumerate([[5, 9, 31, 2], [7]]):
        ids = torch.tensor([prompt])
        for _ in range(8):
            nearest = m(inputs_embeds=embedded(m.get_input_embeddings(), ids, p)).logits[:, -1].argmax(-1)
            ids = torch.cat([ids, nearest[None]], 1)
        more[f"generated.{i}"] = ids[0, len(prompt):].float()
    optimizer = torch.optim.AdamW(list(p.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        llama(p)["loss"].backward()
        optimizer.step()
    return more | {f"step.{n}": t for n, t in p.items()}


p = fresh(m.config.hidden_size)
save("dept", p, llama(p), stepped)

case = json.load(open(f"{GOLDEN}/encoders/t5/case.json"))
batch = {k: torch.tensor(case[k]) for k in ["inputIds", "attentionMask", "labels"]}
t5 = T5ForConditionalGeneration.from_pretrained(f"{GOLDEN}/encoders/t5", dtype=torch.float32, attn_implementation="eager").eval().requires_grad_(False)
p = fresh(t5.config.d_model)
out = t5(inputs_embeds=embedded(t5.get_input_embeddings(), batch["inputIds"], p), attention_mask=widened(batch["attentionMask"], 1),
         labels=batch["labels"])
save("dept_t5", p, {"logits": out.logits, "loss": out.loss}, lambda _: {})
