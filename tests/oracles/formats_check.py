"""Reads with Python what formats/ writes; run by hand:
  deno run -A tests/oracles/formats_check.ts OUT && python tests/oracles/formats_check.py OUT
OUT gets: copy.safetensors, a bitsandbytes folder a kind, a GGUF model a kind. Everything must load with strict loaders and agree
with the golden files.
"""
import json, os, sys

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "formats")
out = sys.argv[1]

a, b = load_file(f"{out}/copy.safetensors"), load_file(f"{GOLDEN}/plain.safetensors")
assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
print("safetensors: equal")

ids = torch.arange(1, 9)[None]
for kind in ("nf4", "nf4_double", "fp4", "fp4_double", "int8"):
    ours = AutoModelForCausalLM.from_pretrained(f"{out}/bnb_{kind}", device_map="cpu").train()
    theirs = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/bnb_{kind}", device_map="cpu").train()
    x, y = ours(ids).logits, theirs(ids).logits
    assert torch.equal(x, y), kind
    print("bitsandbytes", kind, "logits equal")

for arch in ("llama", "qwen2", "gpt2"):
    hf = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/hf_{arch}", torch_dtype=torch.float32)
    given = dict(config=hf.config) if arch == "gpt2" else {}
    gg = AutoModelForCausalLM.from_pretrained(out, gguf_file=f"{arch}.gguf", torch_dtype=torch.float32, **given)
    d = (hf(ids).logits - gg(ids).logits).abs().max().item()
    assert d < 1e-5, (arch, d)
    print("gguf", arch, "logits differ by", d)
