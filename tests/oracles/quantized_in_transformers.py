"""Loads what quantized_in_transformers.ts wrote with transformers and bitsandbytes, and compares logits.

  python tests/oracles/quantized_in_transformers.py FOLDER

In training mode, since bitsandbytes repacks 4-bit weights for some CPUs otherwise and then rounds to bfloat16.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM

for case in json.loads((pathlib.Path(sys.argv[1]) / "cases.json").read_text()):
    model = AutoModelForCausalLM.from_pretrained(case["path"], device_map="cpu", dtype=torch.float32).train()
    with torch.no_grad():
        theirs = model(input_ids=torch.tensor(case["inputIds"])).logits.float().numpy().ravel()
    ours = np.array(case["logits"], dtype=np.float32)
    error = np.abs(theirs - ours).max() / np.abs(theirs).max()
    kinds = {type(m).__name__ for m in model.modules() if "bit" in type(m).__name__}
    print(f"{pathlib.Path(case['path']).name}: {', '.join(sorted(kinds))}, logits differ by {error:.1e}")
    assert kinds and error < 1e-5, case["path"]
