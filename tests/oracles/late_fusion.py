"""Golden cases of methods whose authors' code is gone, as literal transcriptions of their equations in torch: attention fusion,
LeTS, KronA_B and KronA_Bres, and the parallel adapter where a norm stands in front. On the tiny BERT of encoders.py (padding
with holes) and the tiny Llama.

    python tests/oracles/late_fusion.py
Writes tests/oracles/golden/late_fusion/<base>_<case>.safetensors as adapter_hub_cases.py does.
"""
import json, os, warnings
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.func import functional_call
from transformers import AutoModelForSequenceClassification, LlamaForCausalLM

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden"
OUT = ROOT + "/late_fusion"
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", labels="labels")


def load(base):
    kind, folder, case = {"bert_text": (AutoModelForSequenceClassification, "encoders/bert_text", "encoders/bert_text/case.json"),
                          "llama": (LlamaForCausalLM, "llama_lora/base", "llama_lora/batch.json")}[base]
    m = kind.from_pretrained(f"{ROOT}/{folder}", dtype=torch.float32, attn_implementation="eager").eval()
    for p in m.parameters():
        p.requires_grad_(False)
    return m, {NAMES[k]: torch.tensor(v) for k, v in json.load(open(f"{ROOT}/{case}")).items()}


def save(case, params, logits, loss):
    grads = torch.autograd.grad(loss, list(params.values()))
    tensors = {"logits": logits, "loss": loss.reshape(1)}
    for (path, p), g in zip(params.items(), grads):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p, g
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{case}.safetensors")
    print(case, float(loss))


def rand(*shape, scale=0.4):
    return (torch.randn(*shape) * scale).requires_grad_()


def blocks_of(base, m):
    return (m.bert.encoder.layer, "bert.encoder.layer") if base == "bert_text" else (m.model.layers, "model.layers")


def taps(base, m, batch):
    """The embedded input and each block's own output; and each block's keyword arguments."""
    blocks, _ = blocks_of(base, m)
    states, calls = [], []

    def before(_, args, kwargs):
        if not states:
            states.append(args[0])
        calls.append((args[1:], kwargs))

    hooks = [b.register_forward_pre_hook(before, with_kwargs=True) for b in blocks]
    hooks += [b.register_forward_hook(lambda _, __, o: states.append(o[0] if isinstance(o, tuple) else o)) for b in blocks]
    with torch.no_grad():
        m(**batch)
    for h in hooks:
        h.remove()
    return states, calls


def headed(base, m, batch, states):
    """Logits and loss of the head on what a side network gives."""
    if base == "bert_text":
        logits = m.classifier(m.bert.pooler(states))
        return logits, F.cross_entropy(logits, batch["labels"])
    logits = m.lm_head(m.model.norm(states))
    return logits, F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())


def fusion(base, include, root):
    m, batch = load(base)
    states, _ = taps(base, m, batch)
    q = rand(m.config.hidden_size)
    h = torch.stack(states if include else states[1:], 2)  # [b, t, L, d]
    scores = h @ q / (m.config.hidden_size ** 0.5 if root else 1)
    mixed = (scores.softmax(-1).unsqueeze(-1) * h).sum(2)
    save(f"{base}_attention_fusion", {"query": q}, *headed(base, m, batch, mixed))


def lets(base, pool, layers, gated):
    m, batch = load(base)
    d = m.config.hidden_size
    states, calls = taps(base, m, batch)
    blocks, prefix = blocks_of(base, m)
    matrices = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    matrices = matrices if base == "bert_text" else [f"self_attn.{x}_proj" for x in "qkvo"]
    params = {}
    torch_lstm = torch.nn.LSTM(d, d // 2, bidirectional=True, batch_first=True)
    branches = []
    for l, block in enumerate(blocks):
        if l not in layers:
            branches.append(states[l + 1])
            continue
        own = {n: p.detach() for n, p in block.named_parameters()}
        for name in matrices:
            params[f"deltas.{prefix}.{l}.{name}.weight"] = delta = rand(*own[f"{name}.weight"].shape, scale=0.2)
            own[f"{name}.weight"] = own[f"{name}.weight"] + delta
        args, kwargs = calls[l]
        u = functional_call(block, own, (states[l], *args), kwargs | {"past_key_values": None})
        u = u[0] if isinstance(u, tuple) else u
        if gated:
            params[f"gates.{l}"] = a = rand(1)
            u = torch.sigmoid(a) * u + (1 - torch.sigmoid(a)) * states[l + 1]
        branches.append(u)
    for way, suffix in [("forward", ""), ("backward", "_reverse")]:
        for part, short in [("input", "ih"), ("hidden", "hh")]:
            for leaf in ["weight", "bias"]:
                params[f"lstm.{way}.{part}.{leaf}"] = getattr(torch_lstm, f"{leaf}_{short}_l0{suffix}")
    b, t, _ = states[0].shape
    read = torch.stack(branches, 2)  # [b, t, L, d]
    read = read[:, 0] if pool == "first" else read.flatten(0, 1)
    v = torch_lstm(read)[0].max(1).values
    v = v[:, None].expand(b, t, d) if pool == "first" else v.reshape(b, t, d)
    logits, loss = headed(base, m, batch, v)
    if gated:
        loss = loss + 0.3 * sum(torch.sigmoid(p) for k, p in params.items() if k.startswith("gates")).sum() / len(layers)
    save(f"{base}_lets", params, logits, loss)


def beside(base, case, params_at, branch):
    """A branch beside each feed-forward part that reads the part's own input."""
    m, batch = load(base)
    d = m.config.hidden_size
    blocks, prefix = blocks_of(base, m)
    params = {}
    for l, block in enumerate(blocks):
        path = f"{prefix}.{l}.{'output' if base == 'bert_text' else 'mlp'}"
        own = params_at(d)
        params |= {f"{path}.{k}": p for k, p in own.items()}
        if base == "llama":
            block.mlp.register_forward_hook(lambda _, args, o, own=own: o + branch(own, args[0]))
        else:  # the dense layer's output, before the residual and the norm; the residual is the part's input
            out, inner = block.output, block.output.forward
            out.forward = lambda h, x, out=out, own=own: out.LayerNorm(out.dense(h) + branch(own, x) + x)
    out = m(**batch)
    save(f"{base}_{case}", params, out.logits, out.loss)


torch.manual_seed(11)
fusion("bert_text", True, True)
fusion("llama", False, False)
lets("bert_text", "first", [0, 2], False)
lets("llama", "each", [0, 1], True)


def krona(p, x):  # (A kron B) x + b, written out
    return F.linear(x, torch.kron(p["a"], p["b"])) + p["bias"]


def krona_at(residual):
    def at(d):  # a first factor that divides neither evenly: [4, 2] and [d/4, d/2]
        own = {"a": rand(4, 2), "b": rand(d // 4, d // 2), "bias": rand(d)}
        return own | {"residual": rand(1)} if residual else own
    return at


for base in ["bert_text", "llama"]:
    beside(base, "krona_b", krona_at(False), lambda p, x: 1.5 * krona(p, x))
    beside(base, "krona_bres", krona_at(True), lambda p, x: 1.5 * krona(p, x) + p["residual"] * x)
beside("llama", "parallel", lambda d: {"down.weight": rand(5, d), "down.bias": rand(5), "up.weight": rand(d, 5), "up.bias": rand(d)},
       lambda p, x: 4 * F.linear(F.relu(F.linear(x, p["down.weight"], p["down.bias"])), p["up.weight"], p["up.bias"]))
