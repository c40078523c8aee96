"""Golden cases of selective methods: the Fisher information and FISH mask, DiffPruning, LT-SFT, FAR, BitFit on T5.

Literal transcriptions into PyTorch of the papers' formulas and of the authors' code: no living
library offers these methods. transformers 4.57 and torch 2.15 on CPU in float32, over the models of encoders.py and
llama_lora.py. Run from the repository root:
    python tests/oracles/selective.py [case ...]
Writes tests/oracles/golden/selective/<case>.safetensors.
"""
import json, os, sys
import torch
from safetensors.torch import save_file
from transformers import BertForSequenceClassification, LlamaForCausalLM, T5ForConditionalGeneration

OUT = "tests/oracles/golden/selective"
GOLDEN = "tests/oracles/golden"
os.makedirs(OUT, exist_ok=True)
F32 = dict(dtype=torch.float32, attn_implementation="eager")


def save(name, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{name}.safetensors")
    print(name, len(tensors))


def bert():
    model = BertForSequenceClassification.from_pretrained(f"{GOLDEN}/encoders/bert_text", **F32).eval()
    case = json.load(open(f"{GOLDEN}/encoders/bert_text/case.json"))
    batch = dict(input_ids=case["inputIds"], attention_mask=case["attentionMask"], token_type_ids=case["tokenTypeIds"],
                 labels=case["labels"])
    return model, {k: torch.tensor(v) for k, v in batch.items()}


def llama():
    model = LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", **F32).eval()
    case = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
    return model, {k: torch.tensor(case[j]) for k, j in
                   dict(input_ids="inputIds", attention_mask="attentionMask", labels="labels").items()}


def named(model):
    return {n: p for n, p in model.named_parameters()}


def fisher(model, batch, how):
    """Mean over examples of squared gradients of log p, an example at a time."""
    params = named(model)
    total = {n: torch.zeros_like(p) for n, p in params.items()}
    rows = len(batch["input_ids"])
    for i in range(rows):
        row = {k: v[i:i + 1] for k, v in batch.items() if k != "labels"}
        logits = model(**row).logits
        if logits.dim() == 3:  # causal: a text's log p is the sum of its tokens'
            labels = batch["labels"][i, 1:]
            log_p = torch.log_softmax(logits[0, :-1], -1)
            pairs = [(1.0, sum(log_p[t, labels[t]] for t in range(len(labels)) if labels[t] != -100))]
        else:
            log_p = torch.log_softmax(logits[0], -1)
            pairs = ([(1.0, log_p[batch["labels"][i]])] if how == "empirical"
                     else [(log_p[c].exp().detach(), log_p[c]) for c in range(len(log_p))])
        for weight, value in pairs:
            for (n, p), g in zip(params.items(), torch.autograd.grad(value, list(params.values()), retain_graph=True,
                                                                     allow_unused=True)):
                if g is not None:
                    total[n] += weight * g ** 2
    return {n: t / rows for n, t in total.items()}


def fish_case(name, make, how, ratio):
    model, batch = make()
    found = fisher(model, batch, how)
    out = {f"fisher.{n}": t for n, t in found.items()}
    whole = [n for n in found if n.startswith("classifier.")]
    k = int(ratio * sum(t.numel() for t in found.values())) - sum(found[n].numel() for n in whole)
    masked = {n: t for n, t in found.items() if n not in whole}
    order = torch.topk(torch.cat([t.flatten() for t in masked.values()]), k).indices
    flat = torch.zeros(sum(t.numel() for t in masked.values()))
    flat[order] = 1
    masks = dict(zip(masked, flat.split([t.numel() for t in masked.values()])))
    masks = {n: masks[n].reshape(t.shape) if n in masks else torch.ones_like(t) for n, t in found.items()}
    out |= {f"mask.{n}": m for n, m in masks.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for step in range(3):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        for n, p in named(model).items():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad * masks[n]
        out[f"loss{step}"] = loss.reshape(1)
        optimizer.step()
    out |= {f"after.{n}": p for n, p in named(model).items()}
    save(name, out)


def t5():
    model = T5ForConditionalGeneration.from_pretrained(f"{GOLDEN}/encoders/t5", **F32).eval()
    case = json.load(open(f"{GOLDEN}/encoders/t5/case.json"))
    names = dict(input_ids="inputIds", attention_mask="attentionMask", labels="labels")
    return model, {k: torch.tensor(case[j]) for k, j in names.items()}


def gradients(name, make, chosen):
    """Loss and the gradients of the parameters that the authors' rule on names chooses."""
    model, batch = make()
    for n, p in named(model).items():
        p.requires_grad_(chosen(n))
    loss = model(**batch).loss
    loss.backward()
    save(name, {"loss": loss.reshape(1)} | {f"grad.{n}": p.grad for n, p in named(model).items() if p.requires_grad})


class Biased(torch.nn.Module):
    """A layer of T5 with a bias behind it, as forks add them."""

    def __init__(self, inner, width):
        super().__init__()
        self.inner, self.bias = inner, torch.nn.Parameter(torch.randn(width) * 0.1)

    @property
    def weight(self):
        return self.inner.weight

    def forward(self, *args):
        return self.inner(*args) + self.bias


def bitfit_t5(name):
    model, batch = t5()
    torch.manual_seed(7)
    for p in model.parameters():
        p.requires_grad_(False)
    for path, module in list(model.named_modules()):
        if type(module).__name__ == "Linear":
            wrapped = Biased(module, module.out_features)
        elif type(module).__name__ == "T5LayerNorm":
            wrapped = Biased(module, module.weight.numel())
        else:
            continue
        parent = model.get_submodule(path.rpartition(".")[0])
        setattr(parent, path.rpartition(".")[2], wrapped) if not isinstance(parent, torch.nn.ModuleList) else None
    out = model(**batch)
    out.loss.backward()
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    for n, p in model.named_parameters():
        if p.requires_grad:
            tensors[f"param.{n}"], tensors[f"grad.{n}"] = p, p.grad
    save(name, tensors)


def gate(alpha):
    """The hard concrete gate at u = 1/2, arXiv 2012.07463, equation 5."""
    low, high = -1.5, 1.5
    return (torch.sigmoid(alpha) * (high - low) + low).clamp(0, 1)


def diff_pruning(name):
    """Loss with the L0 term and its gradients for differences and gates; which elements a target sparsity keeps."""
    model, batch = bert()
    generator = torch.Generator().manual_seed(5)
    random = lambda shape, mean, scale: (mean + scale * torch.randn(shape, generator=generator)).requires_grad_(True)
    base = {n: p.detach().clone() for n, p in named(model).items()}
    whole = [n for n in base if n.startswith("classifier.")]
    params, theta = {}, {}
    for n, w in base.items():
        if n in whole:
            theta[n] = params[n] = w.clone().requires_grad_(True)
            continue
        delta, alpha, group = random(w.shape, 0, 0.05), random(w.shape, 0, 2.0), random([1], 1.0, 0.5)
        params |= {f"{n}.delta": delta, f"{n}.alpha": alpha, f"{n}.group": group}
        theta[n] = w + gate(alpha) * gate(group) * delta
    penalty = 1e-4 * sum(torch.sigmoid(a - torch.log(torch.tensor(1.5 / 1.5))).sum() for n, a in params.items()
                         if n.endswith((".alpha", ".group")))
    out = torch.func.functional_call(model, theta, kwargs=batch)
    loss = out.loss + penalty
    grads = torch.autograd.grad(loss, list(params.values()))
    tensors = {"logits": out.logits, "loss": loss.reshape(1)}
    for (n, p), g in zip(params.items(), grads):
        tensors[f"param.{n}"], tensors[f"grad.{n}"] = p, g
    # The second stage: the threshold by bisection. The authors' code counts what is over it and zeroes what is below, so
    # an element that equals it stays uncounted (207 for 206 here); we keep what was counted.
    diffs = {n: (gate(params[f"{n}.alpha"]) * gate(params[f"{n}.group"]) * params[f"{n}.delta"]).detach() for n in base
             if n not in whole}
    target = int(0.02 * sum(d.numel() for d in diffs.values()))
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        over = sum((d.abs() > middle).sum().item() for d in diffs.values())
        low, high = (middle, high) if over > target else (low, middle)
    tensors |= {f"kept.{n}": d * (d.abs() > high) for n, d in diffs.items()}
    save(name, tensors)


def lt_sft(name, rounds=2, elements=80, steps=3, rate=0.5, pull=0.05):
    """Two rounds of: all weights, the farthest, rewind, those alone. SGD, so that no small gradient is magnified."""
    model, batch = llama()
    params = named(model)
    theta0 = {n: p.detach().clone() for n, p in params.items()}
    maskable = [n for n in params if "norm" not in n]
    total = sum(theta0[n].numel() for n in maskable)
    mask = {n: torch.zeros_like(theta0[n]) for n in maskable}

    def train(allowed):
        optimizer = torch.optim.SGD(params.values(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            distance = sum((params[n] - theta0[n]).abs().sum() for n in maskable)
            (model(**batch).loss + pull * distance / total).backward()
            for n, p in params.items():
                p.grad = p.grad * allowed(n) if n in maskable else torch.zeros_like(p)
            optimizer.step()

    for _ in range(rounds):
        start = {n: p.detach().clone() for n, p in params.items()}
        train(lambda n: 1.0)
        moved = {n: (params[n].detach() - theta0[n]).abs().masked_fill(mask[n] == 1, -1.0) for n in maskable}
        threshold = torch.topk(torch.cat([m.flatten() for m in moved.values()]), elements // rounds).values[-1]
        for n in maskable:
            mask[n] = torch.where(moved[n] >= threshold, torch.ones_like(mask[n]), mask[n])
        with torch.no_grad():
            for n, p in params.items():
                p.copy_(start[n])
        train(lambda n: mask[n])
    save(name, {f"phi.{n}": params[n] - theta0[n] for n in maskable} | {f"mask.{n}": m for n, m in mask.items()})


def far(name, retention=0.3, steps=3, rate=0.5, primed="kept"):
    """Priming of the feed-forward layers, the nodes that moved most, then those rows alone. SGD."""
    model, batch = bert()
    params = named(model)
    theta0 = {n: p.detach().clone() for n, p in params.items()}
    layers = [n.removesuffix(".weight") for n in params if n.endswith("weight") and ".layer." in n and "LayerNorm" not in n
              and ("intermediate.dense" in n or (".output.dense" in n and "attention" not in n))]

    def train(allowed):
        optimizer = torch.optim.SGD(params.values(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            for n, p in params.items():
                layer, _, kind = n.rpartition(".")
                on = allowed[layer] if layer in allowed else None
                p.grad = torch.zeros_like(p) if on is None else p.grad * (on[:, None] if kind == "weight" else on)
            optimizer.step()

    train({n: torch.ones(len(params[f"{n}.bias"])) for n in layers})
    learners = {}
    for n in layers:
        w, b = (params[f"{n}.{k}"].detach() - theta0[f"{n}.{k}"] for k in ["weight", "bias"])
        metric = w.abs().sum(1) + b.abs()
        k = max(1, round(retention * len(metric)))
        learners[n] = torch.zeros_like(metric).index_fill(0, torch.topk(metric, k).indices, 1.0)
    with torch.no_grad():
        for n, on in learners.items():
            for kind in ["weight", "bias"]:
                p, w0 = params[f"{n}.{kind}"], theta0[f"{n}.{kind}"]
                keep = (on[:, None] if kind == "weight" else on) * (primed == "kept")
                p.copy_(w0 + (p - w0) * keep)
    train(learners)
    save(name, {f"learners.{n}": on for n, on in learners.items()} |
         {f"after.{n}.{k}": params[f"{n}.{k}"] for n in layers for k in ["weight", "bias"]})


CASES = {
    "diff_pruning": lambda: diff_pruning("diff_pruning"),
    "lt_sft": lambda: lt_sft("lt_sft"),
    "far": lambda: far("far"),
    "far_reset": lambda: far("far_reset", primed="reset"),
    # benzakenelad/BitFit, glue_evaluator.py: every parameter whose name holds "bias", and the classifier.
    "bitfit_bert": lambda: gradients("bitfit_bert", bert, lambda n: "bias" in n or n.startswith("classifier.")),
    "bitfit_t5": lambda: bitfit_t5("bitfit_t5"),
    # MGheini/xattn-transfer-for-mt: every parameter whose name holds `encoder_attn`, its norm included.
    "cross_t5": lambda: gradients("cross_t5", t5, lambda n: "EncDecAttention" in n or (
        n.startswith("decoder.block.") and ".layer.1.layer_norm" in n)),
    "top_bert": lambda: gradients("top_bert", bert, lambda n: n.startswith(
        ("bert.encoder.layer.2.", "bert.pooler.", "classifier."))),
    "fish_bert": lambda: fish_case("fish_bert", bert, "empirical", 0.05),
    "fish_bert_expected": lambda: fish_case("fish_bert_expected", bert, "expected", 0.05),
    "fish_llama": lambda: fish_case("fish_llama", llama, "empirical", 0.02),
}

if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        CASES[case]()
