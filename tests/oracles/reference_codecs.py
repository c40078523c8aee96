"""Golden bytes for tests/ops/reference/codecs.test.ts: bitsandbytes 0.50 and gguf on a CPU, torch for half floats.

Inputs are not stored: both sides make them from the same integer generator (see `numbers`).
"""
import base64
import json
import pathlib

import bitsandbytes.functional as F
import gguf
import numpy as np
import torch

SIZES = [1, 63, 64, 65, 4097]


def numbers(seed, n, spread=8):
    """f32 values: sums of four 16-bit uniforms, each block of 32 scaled by a power of two below 2^spread."""
    state, out = seed, []

    def word():
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return state >> 16

    for i in range(n):
        if i % 32 == 0:
            scale = 2.0 ** -(word() % spread)
        out.append((word() + word() + word() + word() - 131070) / 32768 * scale)
    return np.array(out, dtype=np.float32)


def text(tensor):
    array = tensor.contiguous().view(torch.uint8).numpy() if isinstance(tensor, torch.Tensor) else np.ascontiguousarray(tensor)
    return base64.b64encode(array.tobytes()).decode()


def variants():
    for n in SIZES:
        yield {"n": n, "kind": "normal"}, torch.from_numpy(numbers(n, n))
        if n < 100:
            yield {"n": n, "kind": "zeros"}, torch.zeros(n)
        yield {"n": n, "kind": "bf16"}, torch.from_numpy(numbers(n, n)).bfloat16()


golden = {"four": [], "double": [], "dynamic": [], "int8": [], "gguf": [], "decoded": []}

for about, x in variants():
    for dtype in ("nf4", "fp4"):
        packed, state = F.quantize_4bit(x, blocksize=64, quant_type=dtype)
        golden["four"].append({**about, "dtype": dtype, "codes": text(packed), "absmax": text(state.absmax),
                               "values": text(F.dequantize_4bit(packed, state).float()) if x.dtype == torch.float32 and about["n"] < 100 else None})
        packed, state = F.quantize_4bit(x, blocksize=64, quant_type=dtype, compress_statistics=True)
        absmax = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
        golden["double"].append({**about, "dtype": dtype + "_double", "codes": text(packed), "scales": text(state.absmax),
                                 "nested": text(state.state2.absmax), "offset": text(state.offset.reshape(1)), "absmax": text(absmax)})

# 300 blocks: the second level has a partial block of its own.
x = torch.from_numpy(numbers(7, 300 * 64))
packed, state = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
golden["double"].append({"n": 300 * 64, "kind": "normal", "seed": 7, "dtype": "nf4_double", "codes": text(packed),
                         "scales": text(state.absmax), "nested": text(state.state2.absmax), "offset": text(state.offset.reshape(1)),
                         "absmax": text(F.dequantize_blockwise(state.absmax, state.state2) + state.offset)})

# On CPU tensors the dispatcher takes a kernel with a coarse grid; the default one computes what accelerators do.
def default(x, code, blocksize):
    kernel = torch.ops.bitsandbytes.quantize_blockwise.default
    return kernel._op_dk(torch._C.DispatchKey.CompositeExplicitAutograd, x, code, blocksize)


for signed, dtype in ((True, "dynamic8"), (False, "udynamic8")):
    code = F.create_dynamic_map(signed=signed)
    golden[dtype] = text(code)
    for about, x in variants():
        codes, absmax = default(x if signed else x.abs(), code, 256)
        golden["dynamic"].append({**about, "dtype": dtype, "codes": text(codes), "absmax": text(absmax)})

for shape in ([1, 1], [3, 65], [17, 64]):
    for kind in ("normal", "zeros", "bf16"):
        x = torch.from_numpy(numbers(shape[1], shape[0] * shape[1])).reshape(shape)
        x = torch.zeros(shape) if kind == "zeros" else x.bfloat16() if kind == "bf16" else x
        codes, absmax, _ = torch.ops.bitsandbytes.int8_vectorwise_quant(x)
        golden["int8"].append({"shape": shape, "kind": kind, "codes": text(codes), "absmax": text(absmax),
                               "values": text(torch.ops.bitsandbytes.int8_vectorwise_dequant(codes, absmax))})

for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
    x = numbers(5, 512).reshape(2, 256)
    x[1, 32:64] = 0
    golden["gguf"].append({"dtype": name.lower(), "bytes": text(gguf.quantize(x, gguf.GGMLQuantizationType[name])),
                           "values": text(gguf.dequantize(gguf.quantize(x, gguf.GGMLQuantizationType[name]), gguf.GGMLQuantizationType[name]))})
rng = np.random.default_rng(0)
for name, scale_at in (("Q4_K", (0, 2)), ("Q5_K", (0, 2)), ("Q6_K", (208,))):
    kind = gguf.GGMLQuantizationType[name]
    blocks = rng.integers(0, 256, (3, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in scale_at:  # random bits would make some scales NaN
        blocks[:, at:at + 2] = rng.normal(0, 0.01, (3, 1)).astype(np.float16).view(np.uint8)
    golden["decoded"].append({"dtype": name.lower(), "bytes": text(blocks), "values": text(gguf.dequantize(blocks, kind))})

awkward = [0.0, -0.0, 1.0, 65504.0, 65519.99, 65520.0, 1e6, -1e6, 2**-14, 2**-24, 2**-25, 2**-25 * 1.0001, 3 * 2**-25, 6.0e-5, 1e-40,
           1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-9, 3.4e38, float("inf"), float("-inf"), float("nan"), 0.1, -1 / 3]
x = torch.cat([torch.tensor(awkward), torch.from_numpy(numbers(3, 200, 30))])
golden["half"] = {"x": text(x), "f16": text(x.half()), "bf16": text(x.bfloat16())}

# Values within two f32 steps of where a code changes: here a rounding more or less decides.
golden["ties"] = []


def near(values, seed):
    steps = np.random.default_rng(seed).integers(-2, 3, len(values))
    return (np.asarray(values, np.float32).view(np.int32) + steps.astype(np.int32)).view(np.float32)


for dtype in ("nf4", "fp4"):
    code = np.sort(F.get_4bit_type(dtype, device="cpu").numpy())
    middles = (code[1:] + code[:-1])[[*range(7), *range(8, 15)]] / 2  # without the one at 0, where steps are denormal
    for n, seed in ((64, 1), (63, 2), (62, 3), (61, 4)):
        absmax = np.float32(np.random.default_rng(seed).uniform(0.5, 3))
        x = near(np.resize(middles, n) * absmax, seed)
        x[5] = absmax
        packed, _ = F.quantize_4bit(torch.from_numpy(x), blocksize=64, quant_type=dtype)
        golden["ties"].append({"dtype": dtype, "x": text(x), "bytes": text(packed)})
for name, levels in (("Q4_0", 16), ("Q4_1", 16), ("Q5_0", 32), ("Q5_1", 32), ("Q8_0", 255)):
    rng = np.random.default_rng(levels)
    x = np.empty((16, 32), np.float32)
    for block in x:
        low, step = (0, -rng.uniform(0.01, 1)) if name[-1] == "0" else (rng.normal(), rng.uniform(0.01, 1))
        half = levels // 2 if name[-1] == "0" else 0
        block[:] = near(low + step * (rng.integers(0, levels - 1, 32) - half + 0.5), 1)
        block[0], block[1] = low - step * half, low + step * (levels - 1 - half)
    golden["ties"].append({"dtype": name.lower(), "x": text(x), "bytes": text(gguf.quantize(x, gguf.GGMLQuantizationType[name]))})
x = near((np.arange(64) + 0.5) * (1.7 / 127), 9).reshape(1, 64)
x[0, 63] = 1.7
golden["ties"].append({"dtype": "int8", "x": text(x), "bytes": text(torch.ops.bitsandbytes.int8_vectorwise_quant(torch.from_numpy(x))[0])})

path = pathlib.Path(__file__).parent / "golden" / "reference_codecs.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path.stat().st_size)
