"""A golden case of ladder side-tuning beside an encoder and a decoder: a literal transcription around transformers' T5 blocks.

Made by transformers 4.57 on CPU in float64, from the equations of arXiv 2206.06522 and the authors' modeling_side_t5.py: the
encoder's side network ends at a norm of its own, and the decoder's side blocks attend to that. Blocks 0 are left out. Run from
the repository root:
    python tests/oracles/ladder_t5.py
Writes tests/oracles/golden/ladder_t5/base (the model) and case.safetensors with `param.<our path>`, `grad.<our path>`, logits,
loss and eight greedy tokens of the first row.
"""
import os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import T5Config, T5ForConditionalGeneration

OUT = "tests/oracles/golden/ladder_t5"
os.makedirs(OUT, exist_ok=True)
IDS = torch.tensor([[5, 9, 31, 2, 7], [36, 6, 9, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LABELS = torch.tensor([[4, 9, 30, 1], [6, 1, -100, -100]])
RHO, T, D, LAYERS = 2, 0.1, 24, {"encoder": 3, "decoder": 2}
d = D // RHO


def model(width, inner, d_kv):
    torch.manual_seed(width)
    m = T5ForConditionalGeneration(T5Config(
        vocab_size=37, d_model=width, d_ff=inner, d_kv=d_kv, num_heads=3, num_layers=LAYERS["encoder"],
        num_decoder_layers=LAYERS["decoder"], relative_attention_num_buckets=8, relative_attention_max_distance=12,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=0, attn_implementation="eager")).eval()
    with torch.no_grad():
        for p in m.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return m


base, small = model(D, 26, 8), model(d, 26 // RHO, 4)
base.requires_grad_(False)
base.save_pretrained(f"{OUT}/base")
os.remove(f"{OUT}/base/generation_config.json")
base, small = base.double(), small.double()
torch.set_default_dtype(torch.float64)

torch.manual_seed(1)
randn = lambda *size: torch.randn(*size, dtype=torch.float32).double()
params = {"up.weight": randn(D, d) * 0.3, "up.bias": randn(D) * 0.2}
for stack, n in LAYERS.items():
    for name in ["first"] + [f"downs.{i}" for i in range(1, n)]:
        params |= {f"{stack}.{name}.weight": randn(d, D) * 0.2, f"{stack}.{name}.bias": randn(d) * 0.2}
    params |= {f"{stack}.gates.{i}": randn(1) * 0.1 for i in range(n)}
for p in params.values():
    p.requires_grad_()
for name, p in small.named_parameters():
    stack, *rest = name.split(".")
    if stack not in LAYERS or "embed_tokens" in name:
        continue
    if rest[:2] == ["block", "0"] and "relative_attention_bias" not in name:
        continue
    params[f"side.{name}"] = p


def climb(stack, taps, first, bias, memory=None, memory_bias=None):
    s = F.linear(first, params[f"{stack}.first.weight"], params[f"{stack}.first.bias"])
    network = getattr(small, stack)
    for i in range(1, LAYERS[stack]):
        mu = torch.sigmoid(params[f"{stack}.gates.{i}"] / T)
        down = F.linear(taps[i], params[f"{stack}.downs.{i}.weight"], params[f"{stack}.downs.{i}.bias"])
        s = network.block[i](mu * s + (1 - mu) * down, position_bias=bias, encoder_hidden_states=memory,
                             encoder_decoder_position_bias=memory_bias, cache_position=torch.arange(s.shape[1]))[0]
    return network.final_layer_norm(s)


def logits_of(ids, mask, decoder_ids):
    taps = {"encoder": [], "decoder": []}
    hooks = [block.register_forward_hook(lambda _, __, out, stack=stack: taps[stack].append(out[0]))
             for stack in taps for block in getattr(base, stack).block]
    with torch.no_grad():
        base(input_ids=ids, attention_mask=mask, decoder_input_ids=decoder_ids)
    for hook in hooks:
        hook.remove()
    hidden = (1 - mask[:, None, None, :].double()) * -1e9
    t, s = decoder_ids.shape[1], ids.shape[1]
    causal = torch.full((t, t), -1e9).triu(1)[None, None]
    distances = lambda stack, n: getattr(small, stack).block[0].layer[0].SelfAttention.compute_bias(n, n)
    memory = climb("encoder", taps["encoder"], base.shared(ids), distances("encoder", s) + hidden)
    states = climb("decoder", taps["decoder"], base.shared(decoder_ids), distances("decoder", t) + causal, memory,
                   torch.zeros(1, 3, t, s) + hidden)
    return base.lm_head(F.linear(states, params["up.weight"], params["up.bias"]) * D**-0.5)


logits = logits_of(IDS, MASK, base._shift_right(LABELS))
loss = F.cross_entropy(logits.reshape(-1, 37), LABELS.reshape(-1))
used = [name for name in params if not name.endswith("gates.0")]  # the gates of blocks left out do nothing
grads = torch.autograd.grad(loss, [params[name] for name in used])
written = torch.zeros(1, 1, dtype=torch.long)
with torch.no_grad():
    for _ in range(8):
        written = torch.cat([written, logits_of(IDS[:1], MASK[:1], written)[:, -1].argmax(-1, keepdim=True)], 1)
single = lambda t: t.detach().to(torch.float32 if t.is_floating_point() else t.dtype).contiguous().clone()
tensors = {"logits": logits, "loss": loss.reshape(1), "written": written[0, 1:].to(torch.int32)}
tensors |= {f"param.{name}": p for name, p in params.items()}
tensors |= {f"grad.{name}": g for name, g in zip(used, grads)}
save_file({k: single(v) for k, v in tensors.items()}, f"{OUT}/case.safetensors")
print(loss.item(), written.tolist())
