"""Golden cases of selective methods: the Fisher information and FISH mask, DiffPruning, LT-SFT, FAR, BitFit on T5.

Literal transcriptions into PyTorch of the papers' formulas and the authors' code as methods.md describes it: no living
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
    model = LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_tiny/base", **F32).eval()
    case = json.load(open(f"{GOLDEN}/llama_tiny/batch.json"))
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


CASES = {
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
