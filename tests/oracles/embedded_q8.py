"""Golden greedy text of llama.cpp for the embedded model in Q8_0, with how sure llama.cpp is of each token.

  deno run -A tests/oracles/embedded_q8.ts FOLDER
  python tests/oracles/embedded_q8.py FOLDER

Made by PyPI's llama-cpp-python 0.3.36 on one thread. Products with Q8_0 matrices round their inputs to 8 bits there, which we do not. How much
that moves the scores llama.cpp says itself: the same weights, decoded to f32, are run along the same text. A token is a near tie where
another one's score is no farther below it than the two scores differ between these runs. Writes
tests/oracles/golden/embedded_q8.json.
"""

import json
import pathlib
import sys

import numpy as np
from llama_cpp import Llama

folder = pathlib.Path(sys.argv[1])
given = json.loads((folder / "prompts.json").read_text())


def opened(name):
    return Llama(str(folder / name), n_ctx=256, n_threads=1, n_threads_batch=1, type_k=0, type_v=0, verbose=False, logits_all=True)


def scores(llama, ids, text):
    """Before each token of the text; the best one where there is none."""
    llama.reset()
    llama.eval(ids)
    found, made = [], []
    for i in range(given["made"]):
        found.append(llama.scores[llama.n_tokens - 1].copy())
        made.append(int(np.argmax(found[-1])) if text is None else text[i])
        llama.eval(made[-1:])
    return np.stack(found), made


coded, decoded = opened("embedded-q8_0.gguf"), opened("embedded-decoded.gguf")
rows, near, parted = [], 0, 0
for ids in given["prompts"]:
    theirs, made = scores(coded, ids, None)
    exact, _ = scores(decoded, ids, made)
    moved = np.abs(theirs - exact)
    best = theirs.argmax(axis=1)[:, None]
    close = np.take_along_axis(theirs, best, 1) - theirs <= np.take_along_axis(moved, best, 1) + moved
    np.put_along_axis(close, best, False, 1)
    ties = close.any(axis=1).tolist()
    near += sum(ties)
    parted += int((theirs.argmax(axis=1) != exact.argmax(axis=1)).sum())
    rows.append({"ids": ids, "made": made, "near": [i for i, tie in enumerate(ties) if tie]})
total = len(rows) * given["made"]
golden = pathlib.Path(__file__).parent / "golden" / "embedded_q8.json"
golden.write_text(json.dumps({"digest": given["digest"], "rows": rows}))
print(f"{total} tokens, {near} near ties; with its inputs unrounded llama.cpp itself takes another token at {parted}")
