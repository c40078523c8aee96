"""Golden cases of soft prompts on the tiny Llama of llama_lora.py: prompt tuning and P-tuning by PEFT 0.21, the P-tuning
paper's own encoder and its slots inside the text as a literal transcription in torch (torch.nn.LSTM, THUDM's layers).

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/soft_prompts.py
Writes tests/oracles/golden/soft_prompts/<case>.safetensors with `param.<our path>`, `grad.<our path>`, logits and loss, and
tests/oracles/golden/lstm.safetensors.
"""
import json
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import PromptEncoderConfig, PromptTuningConfig, get_peft_model

OUT = "tests/oracles/golden/soft_prompts"
BATCH = json.load(open("tests/oracles/golden/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
D, N = 24, 5


def base():
    m = LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32,
                                         attn_implementation="eager")
    for p in m.parameters():
        p.requires_grad_(False)
    return m


def noise(params, scale=0.2):
    with torch.no_grad():
        for p in params:
            p.add_(torch.randn_like(p) * scale)


def lstm_names(name):
    """torch's name of an LSTM's parameter -> ours."""
    kind, which, layer = name.split("_")[:3]
    way = "backward" if name.endswith("_reverse") else "forward"
    part = {"ih": "input", "hh": "hidden"}[which]
    return f"{layer.removeprefix('l')}.{way}.{part}.{kind}"


def save(path, params, extra):
    """params: our path -> the leaf; extra has logits and loss."""
    grads = torch.autograd.grad(extra["loss"], list(params.values()))
    tensors = {**extra, "loss": extra["loss"].reshape(1)}
    for (name, p), g in zip(params.items(), grads):
        tensors[f"param.{name}"], tensors[f"grad.{name}"] = p, g
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path)
    print(path, float(extra["loss"]))


def encoder_params(table, lstm, linears):
    params = {"tokens": table}
    if lstm is not None:
        params |= {f"lstm.{lstm_names(n)}": p for n, p in lstm.named_parameters()}
    for i, linear in enumerate(linears):
        params |= {f"mlp.{i}.weight": linear.weight, f"mlp.{i}.bias": linear.bias}
    return params


def continue_greedily(m, rows, ids, steps):
    """By the definition: embeddings of prompt and text, the whole text again for each token."""
    ids = list(ids)
    for _ in range(steps):
        x = torch.cat([rows, m.model.embed_tokens(torch.tensor(ids))])[None]
        ids.append(int(m(inputs_embeds=x, use_cache=False).logits[0, -1].argmax()))
    return ids[-steps:]


def by_peft(case, config, params_of):
    m = get_peft_model(base(), config)
    encoder = m.prompt_encoder["default"]
    noise(encoder.parameters())
    m.eval()
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    rows = m.get_prompt(1)[0].detach()
    extra = {"logits": out.logits[:, N:], "loss": out.loss, "rows": rows}
    for i, text in enumerate([[5, 9, 31, 2], [7]]):
        extra[f"generated.{i}"] = torch.tensor(continue_greedily(m.get_base_model(), rows, text, 8)).float()
    # Labels from the first token on: the prompt's last row predicts it.
    full = m(input_ids=IDS, attention_mask=MASK, labels=torch.where(MASK == 1, IDS, -100))
    extra["loss_all"] = full.loss.reshape(1)
    for name, p in params_of(encoder).items():
        extra[f"all.{name}"] = torch.autograd.grad(full.loss, p, retain_graph=True)[0]
    save(f"{OUT}/{case}.safetensors", params_of(encoder), extra)


torch.manual_seed(11)
by_peft("prompt", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=N),
        lambda e: {"rows": e.embedding.weight})
by_peft("p_tuning_mlp", PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=N, encoder_hidden_size=7),
        lambda e: encoder_params(e.embedding.weight, None, [e.mlp_head[0], e.mlp_head[2], e.mlp_head[4]]))
by_peft("p_tuning_lstm", PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=N, encoder_hidden_size=7,
                                             encoder_reparameterization_type="LSTM", encoder_num_layers=2),
        lambda e: encoder_params(e.embedding.weight, e.lstm_head, [e.mlp_head[0], e.mlp_head[2]]))

# P-tuning as in the paper's LAMA code: template (2, x₁, anchor, 2, x₂, 1), an LSTM of width d/2 over the slots alone.
torch.manual_seed(12)
SLOT, ANCHOR = 36, 8
TEXTS = [[5, 9, 31], [1, 0, 4]]
ids = torch.tensor([[SLOT, SLOT, *t[:2], ANCHOR, SLOT, SLOT, t[2], SLOT] for t in TEXTS])
ids = torch.cat([torch.tensor([[0, 0]] * 2), ids], 1)  # padded on the left by token 0 in the first row alone
mask = torch.ones_like(ids)
mask[0, :2] = 0
labels = torch.where(ids == SLOT, -100, ids)
labels[0, :2] = -100
table = torch.randn(N, D, requires_grad=True)
lstm = torch.nn.LSTM(D, D // 2, num_layers=2, bidirectional=True, batch_first=True)
linears = [torch.nn.Linear(D, D), torch.nn.Linear(D, D)]
m = base()
rows = linears[1](F.relu(linears[0](lstm(table[None])[0]))).squeeze(0)
x = m.model.embed_tokens(ids).clone()
for b in range(2):
    blocked = (ids[b] == SLOT).nonzero().flatten()
    for i in range(N):
        x[b, blocked[i]] = rows[i]
out = m(inputs_embeds=x, attention_mask=mask, labels=labels,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0))
save(f"{OUT}/p_tuning_slots.safetensors", encoder_params(table, lstm, linears),
     {"logits": out.logits, "loss": out.loss, "ids": ids.float(), "mask": mask.float(), "labels": labels.float(), "rows": rows})

# SPoT, a literal transcription: two similarities of a target's prompt to three sources, and the weighted mean of the best two.
torch.manual_seed(14)
target = torch.randn(N, D)
sources = {name: c * target + torch.randn(N, D) for name, c in [("a", 0.7), ("b", 1.5), ("c", -1.0)]}
means = {n: F.cosine_similarity(target.mean(0), s.mean(0), dim=0) for n, s in sources.items()}
pairs = {n: torch.stack([F.cosine_similarity(x, y, dim=0) for x in target for y in s]).mean() for n, s in sources.items()}
best = sorted(means, key=means.get, reverse=True)[:2]
mixed = sum(means[n] / sum(means[m] for m in best) * sources[n] for n in best)
save_file({"target": target, "mixed": mixed, **{f"source.{n}": s.contiguous() for n, s in sources.items()},
           **{f"means.{n}": v.reshape(1) for n, v in means.items()}, **{f"pairs.{n}": v.reshape(1) for n, v in pairs.items()}},
          f"{OUT}/spot.safetensors")
print("spot", {n: (float(means[n]), float(pairs[n])) for n in sources}, best)

# IPT, a literal transcription of its equations: the autoencoder on two tasks (a row of the batch each), then v alone.
torch.manual_seed(15)
K, HIDDEN = 3, 7
prompts = {t: torch.randn(N, D) * 0.5 for t in ["one", "two"]}
w1, w2, w3 = torch.nn.Linear(N * D, K), torch.nn.Linear(K, HIDDEN), torch.nn.Linear(HIDDEN, N * D)
m = base()


def task_loss(rows, b, smoothing):
    x = torch.cat([rows, m.model.embed_tokens(IDS[b])])[None]
    mask = torch.cat([torch.ones(N, dtype=torch.long), MASK[b]])[None]
    logits = m(inputs_embeds=x, attention_mask=mask).logits[0, N:]
    return F.cross_entropy(logits[:-1], LABELS[b, 1:], label_smoothing=smoothing), logits


losses = []
for b, p in enumerate(prompts.values()):
    p_hat = w3(torch.tanh(w2(w1(p.reshape(-1)))))
    ce, _ = task_loss(p_hat.reshape(N, D), b, 0.1)
    losses.append(ce + 200 * ((p_hat - p.reshape(-1)) ** 2).mean())
names = {"encoder": w1, "decoder.inner": w2, "decoder.outer": w3}
params = {f"{n}.{leaf}": getattr(w, leaf) for n, w in names.items() for leaf in ["weight", "bias"]}
save(f"{OUT}/ipt_autoencoder.safetensors", params,
     {"loss": sum(losses) / 2, "losses": torch.stack(losses), **{f"frozen.{t}": p for t, p in prompts.items()}})
v = torch.randn(K, requires_grad=True)
rows = w3(torch.tanh(w2(v))).reshape(N, D)
(one, a), (two, b) = task_loss(rows, 0, 0.0), task_loss(rows, 1, 0.0)
counts = [(LABELS[i, 1:] != -100).sum() for i in range(2)]
save(f"{OUT}/ipt.safetensors", {"v": v},
     {"logits": torch.stack([a, b]), "loss": (one * counts[0] + two * counts[1]) / sum(counts), "rows": rows})

# torch.nn.LSTM itself
torch.manual_seed(13)
tensors = {}
for case, layers, both, inner in [("one", 1, False, 5), ("both", 1, True, 5), ("deep", 3, True, 4)]:
    lstm = torch.nn.LSTM(6, inner, num_layers=layers, bidirectional=both, batch_first=True)
    x = torch.randn(2, 7, 6, requires_grad=True)
    y = lstm(x)[0]
    weight = torch.randn_like(y)
    names = dict(lstm.named_parameters())
    grads = torch.autograd.grad((y * weight).sum(), [x, *names.values()])
    tensors |= {f"{case}.x": x, f"{case}.y": y, f"{case}.weight": weight, f"{case}.grad.x": grads[0]}
    for (n, p), g in zip(names.items(), grads[1:]):
        tensors[f"{case}.param.{lstm_names(n)}"], tensors[f"{case}.grad.{lstm_names(n)}"] = p, g
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, "tests/oracles/golden/soft_prompts/lstm.safetensors")
