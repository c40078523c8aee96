"""Runs what gguf_in_llama_cpp.ts wrote in llama.cpp, through PyPI's llama-cpp-python, and compares tokens, logits and greedy text.

  python tests/oracles/gguf_in_llama_cpp.py FOLDER
"""

import json
import pathlib
import sys

import numpy as np
from llama_cpp import Llama

# What llama.cpp rounds beside the weights: activations to 8 bits for products with quantized weights, to 16 for F16 ones, and
# GELU through a table of 16 bits. A greedy token may differ where the best two are nearer than that. "rounded" is our product of
# inputs rounded to Q8_0 as well: a number between two codes may still go either way.
TOLERANCE = {"f32": 1e-5, "gelu": 2e-3, "f16": 5e-3, "q8_0": 5e-2, "deep": 1e-1, "rounded": 2e-3, "q4_1": 8e-2}

failures = 0
for case in json.loads((pathlib.Path(sys.argv[1]) / "cases.json").read_text()):
    llama = Llama(
        case["model"], lora_path=case.get("adapter"), n_ctx=256, n_threads=1, type_k=0, type_v=0, verbose=False, logits_all=True
    )
    tolerance = TOLERANCE[case["rounding"]]
    for row in case["rows"]:
        ids = llama.tokenize(row["prompt"].encode(), add_bos=True, special=True)
        llama.reset()
        llama.eval(row["ids"])
        last = llama.scores[len(row["ids"]) - 1]
        largest = np.abs(row["last"]).max()
        error = float(np.abs(last - row["last"]).max() / largest)
        made, gaps = [], []
        for token in llama.generate(row["ids"], temp=0.0, repeat_penalty=1.0):
            top = np.sort(llama.scores[llama.n_tokens - 1])
            gaps.append(float((top[-1] - top[-2]) / largest))
            made.append(token)
            if len(made) == len(row["made"]):
                break
        same = next((i for i, (a, b) in enumerate(zip(made, row["made"])) if a != b), len(made))
        near = same < len(made) and gaps[same] < 2 * tolerance
        good = ids == row["ids"] and error <= tolerance and (same == len(made) or near)
        failures += not good
        print(
            f"{'ok  ' if good else 'FAIL'} {case['name']}: {len(ids)} tokens {'equal' if ids == row['ids'] else [ids, row['ids']]}, "
            f"logits differ by {error:.1e}, {same} of {len(made)} greedy tokens equal"
            + ("" if same == len(made) else f"; at the next the best two are {gaps[same]:.1e} apart")
        )
        print(f"       {llama.detokenize(made, special=True).decode(errors='replace')!r}")
    del llama
sys.exit(f"{failures} rows differ" if failures else 0)
