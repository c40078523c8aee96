"""Greedy text of llama.cpp whose products take their inputs as they are: built with a BLAS, it decodes quantized matrices for 32 rows or more
and leaves the inputs in f32, where its own kernels round them to 8 bits.

  CMAKE_ARGS="-DGGML_BLAS=ON -DGGML_BLAS_VENDOR=OpenBLAS" pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36

  deno run -A tests/oracles/gguf_in_llama_cpp.ts FOLDER MODEL ROUNDING
  python tests/oracles/llama_cpp_unrounded.py FOLDER           compares every case's text with ours

  deno run -A tests/oracles/embedded_q8.ts FOLDER
  python tests/oracles/llama_cpp_unrounded.py FOLDER golden    writes tests/oracles/golden/llama_cpp_unrounded.json

A text is run whole, as no step of one token would reach 32 rows. A token depends on nothing after it, so a guess (our text, or none) is run, corrected at the first
place where another token is best, and run again, until each token is the best one after those before it: that is the greedy text.
"""

import json
import pathlib
import sys

import llama_cpp
import numpy as np
from llama_cpp import Llama

ROWS = 32  # from here on the BLAS takes over


def opened(model, adapter=None):
    """Keys and values in f16, as by default."""
    return Llama(model, lora_path=adapter, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=2, verbose=False, logits_all=True)


def greedy(llama, ids, length, guess):
    """The first guess decides how many runs it takes, and nothing else."""
    made = guess + [0] * max(length - len(guess), ROWS - len(guess))
    sure = 0
    while sure < length:
        llama.reset()
        llama.eval(ids + made)
        best = llama.scores[len(ids) - 1:len(ids) + len(made) - 1].argmax(axis=1)
        sure = next((i for i, (a, b) in enumerate(zip(best, made)) if a != b), len(made)) + 1
        made = best.tolist()
    return made[:length]


libraries = pathlib.Path(llama_cpp.__file__).parent / "lib"
if not list(libraries.glob("*ggml-blas*")):
    sys.exit("this llama-cpp-python has no BLAS: build it as above")
folder = pathlib.Path(sys.argv[1])
if sys.argv[2:] == ["golden"]:
    given = json.loads((folder / "prompts.json").read_text())
    llama = opened(str(folder / "embedded-q8_0.gguf"))
    rows = [{"ids": ids, "made": greedy(llama, ids, given["made"], [])} for ids in given["prompts"]]
    golden = pathlib.Path(__file__).parent / "golden" / "llama_cpp_unrounded.json"
    golden.write_text(json.dumps({"digest": given["digest"], "rows": rows}))
    print(f"{len(rows) * given['made']} tokens")
else:
    for case in json.loads((folder / "cases.json").read_text()):
        llama = opened(case["model"], case.get("adapter"))
        texts = [(greedy(llama, row["ids"], len(row["made"]), row["made"]), row["made"]) for row in case["rows"]]
        same = sum(a == b for theirs, ours in texts for a, b in zip(theirs, ours))
        print(f"{case['name']}: {same} of {sum(len(ours) for _, ours in texts)} greedy tokens are ours, "
              f"{sum(theirs == ours for theirs, ours in texts)} of {len(texts)} texts", flush=True)
        del llama
