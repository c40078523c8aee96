"""Golden numbers for tests/ops/reference/backend.test.ts, from torch in float64 on float32 inputs."""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(0)
golden = {}


def rand(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).float()


def give(name, inputs, outputs, **options):
    tensor = lambda t: {"shape": list(t.shape), "data": t.reshape(-1).tolist()}  # noqa: E731
    golden[name] = {"in": [tensor(t) for t in inputs], "out": [tensor(t) for t in outputs], **options}


x = torch.tensor([0.0, 1e-4, 0.3, 0.5, 1.0, 1.5, 1.999, 2.001, 2.5, 3.7, 5.5, 9.0, 30.0])
x = torch.cat([x, -x[1:]])
d = x.double()
unary = {
    "negate": -d, "exp": d.exp(), "log": d.abs().log(), "sqrt": d.abs().sqrt(), "rsqrt": d.abs().rsqrt(), "reciprocal": d.reciprocal(),
    "square": d.square(), "abs": d.abs(), "sign": d.sign(), "sin": d.sin(), "cos": d.cos(), "tanh": d.tanh(), "sigmoid": d.sigmoid(),
    "silu": F.silu(d), "relu": d.relu(), "gelu": F.gelu(d), "geluTanh": F.gelu(d, approximate="tanh"), "erf": torch.erf(d),
    "floor": d.floor(), "round": d.round(),
}
golden["x"] = x.tolist()
golden["unary"] = {k: [None if not math.isfinite(y) else y for y in v.tolist()] for k, v in unary.items()}

a, b = rand(2, 1, 3, 4), rand(3, 4, 5)
give("matmul", [a, b], [a.double() @ b.double()])

x, w, bias = rand(3, 10, scale=2), rand(10), rand(10)
give("rmsNorm", [x, w], [F.rms_norm(x.double(), (10,), w.double(), 1e-5)])
give("layerNorm", [x, w, bias], [F.layer_norm(x.double(), (10,), w.double(), bias.double(), 1e-5)])

logits, labels = rand(5, 7, scale=3), torch.tensor([0, 6, -100, 3, 2])
for name, smoothing in (("crossEntropy", 0.0), ("crossEntropySmooth", 0.1)):
    z = logits.double().requires_grad_()
    loss = F.cross_entropy(z, labels, reduction="none", label_smoothing=smoothing)
    loss.sum().backward()
    give(name, [logits], [loss.detach(), z.grad], labels=labels.tolist(), smoothing=smoothing)


def attention(name, q, k, v, causal, window=0, always=0, bias=None, mask=None):
    """Eager attention over [b, t, h, d]; who sees whom follows the words of the contract."""
    q, k, v = (t.double().requires_grad_() for t in (q, k, v))
    t, s, h, g = q.shape[1], k.shape[1], q.shape[2], k.shape[2]
    keys, values = (u.repeat_interleave(h // g, dim=2).transpose(1, 2) for u in (k, v))
    allowed = torch.ones(q.shape[0], 1, t, s, dtype=torch.bool)
    position = torch.arange(t)[:, None] + (s - t)
    key = torch.arange(s)[None, :]
    rule = torch.ones(t, s, dtype=torch.bool)
    if causal:
        rule &= key <= position
    if window:
        rule &= position - key <= window
    allowed &= rule | (key < always)
    if mask is not None:
        allowed &= mask[:, None, None, :] != 0
    additive = torch.zeros(allowed.shape, dtype=torch.float64).masked_fill(~allowed, -math.inf)
    if bias is not None:
        additive = additive + bias.double()
    out = F.scaled_dot_product_attention(q.transpose(1, 2), keys, values, attn_mask=additive, scale=0.5).transpose(1, 2)
    up = torch.cos(torch.arange(out.numel(), dtype=torch.float64)).reshape(out.shape)
    (out * up).sum().backward()
    inputs = [q.detach(), k.detach(), v.detach()] + ([mask] if mask is not None else []) + ([bias] if bias is not None else [])
    give(name, inputs, [out.detach(), q.grad, k.grad, v.grad], causal=causal, offset=s - t, window=window, always=always,
         mask=mask is not None, bias=bias is not None)


attention("attention", rand(2, 3, 4, 6), rand(2, 5, 2, 6), rand(2, 5, 2, 6), True)
attention("attentionFull", rand(1, 4, 2, 4), rand(1, 3, 1, 4), rand(1, 3, 1, 4), False, bias=rand(1, 2, 1, 3))
attention("attentionPrefix", rand(2, 5, 2, 4), rand(2, 7, 2, 4), rand(2, 7, 2, 4), True, window=1, always=2,
          mask=torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 0, 1, 1]]).float())

from transformers.models.llama.modeling_llama import apply_rotary_pos_emb  # noqa: E402

x = rand(2, 3, 2, 6).double()
angle = torch.outer(torch.arange(3).double(), 10000 ** (-torch.arange(0, 6, 2).double() / 6))
cos, sin = angle.cos().float(), angle.sin().float()
both = lambda u: torch.cat([u, u], -1).double()[None]  # noqa: E731
give("rope", [x, cos[None], sin[None]], [apply_rotary_pos_emb(x, x, both(cos), both(sin), unsqueeze_dim=2)[0]])

p, steps = rand(6), []
q = p.double().clone().requires_grad_()
optimizer = torch.optim.AdamW([q], lr=0.05, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
gradients = [rand(6) for _ in range(4)]
for g in gradients:
    q.grad = g.double()
    optimizer.step()
    steps.append(q.detach().clone())
give("adamw", [p, *gradients], steps)

path = pathlib.Path(__file__).parent / "golden" / "reference_kernels.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path.stat().st_size)
