"""Golden for tests/core/trees/quantize.test.ts: what bitsandbytes makes of every linear layer of a tiny Llama, and its logits.

The base is golden/llama_lora/base. Hashes are of the weights in our layout, codes first (see tensor/dtype.ts).
"""
import hashlib
import json
import pathlib
import tempfile

import bitsandbytes as bnb
import numpy as np
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

GOLDEN = pathlib.Path(__file__).parent / "golden"
KINDS = {
    "nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "nf4_double": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
    "fp4_double": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
    "int8": dict(load_in_8bit=True),
}
IDS = [[3, 17, 5, 29, 11, 36, 0, 8]]


def padded(raw):
    return raw + b"\0" * (-len(raw) % 4)


def in_our_layout(module):
    w = module.weight
    if isinstance(module, bnb.nn.Linear8bitLt):
        return padded(w.data.numpy().tobytes()) + w.SCB.float().numpy().tobytes()
    s = w.quant_state
    codes = padded(w.data.numpy().tobytes())
    if not s.nested:
        return codes + s.absmax.numpy().tobytes()
    return codes + padded(s.absmax.numpy().tobytes()) + s.state2.absmax.numpy().tobytes() + np.float32(s.offset.item()).tobytes()


def quantized(base, kind, dtype):
    config = BitsAndBytesConfig(bnb_4bit_compute_dtype=torch.float32, **KINDS[kind])
    return AutoModelForCausalLM.from_pretrained(base, quantization_config=config, device_map="cpu", dtype=dtype).eval()


golden = {"ids": IDS, "kinds": {}, "logits": {}}
base = str(GOLDEN / "llama_lora" / "base")
with tempfile.TemporaryDirectory() as half:
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.float16).save_pretrained(half)
    for kind in KINDS:
        model = quantized(half, kind, torch.float16)
        golden["kinds"][kind] = {
            name + ".weight": hashlib.sha256(in_our_layout(module)).hexdigest()
            for name, module in model.named_modules()
            if isinstance(module, (bnb.nn.Linear4bit, bnb.nn.Linear8bitLt))
        }
for kind in ("nf4", "nf4_double", "fp4"):
    # bitsandbytes' own product on a CPU wants sizes that these layers do not have, so plain layers hold its dequantized weights.
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    for name, module in quantized(base, kind, torch.float32).named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            weight = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            plain.get_submodule(name).weight.data = weight.float()
    with torch.no_grad():
        golden["logits"][kind] = plain(torch.tensor(IDS)).logits.flatten().tolist()
(GOLDEN / "quantize.json").write_text(json.dumps(golden) + "\n")
print({kind: len(rows) for kind, rows in golden["kinds"].items()})
