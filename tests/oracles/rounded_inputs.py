"""Golden logits and greedy tokens of llama.cpp for models in Q8_0, whose inputs it rounds as well.

  deno run -A tests/oracles/gguf_in_llama_cpp.ts FOLDER
  python tests/oracles/rounded_inputs.py FOLDER

Made by PyPI's llama-cpp-python 0.3.36 on an x86 with AVX2, on one thread. Writes tests/oracles/golden/rounded_inputs/: the folder's
llama-q8_0.gguf (untied) and qwen2-q8_0.gguf (tied), and expected.json.
"""

import json
import pathlib
import shutil
import sys

from llama_cpp import Llama

GOLDEN = pathlib.Path(__file__).parent / "golden" / "rounded_inputs"
PROMPTS = [[1, 17, 230, 4, 88], [301, 302, 5, 5, 599, 12, 77, 140, 9, 33, 2], [42]]
GOLDEN.mkdir(exist_ok=True)
expected = {}
for name in ["llama-q8_0", "qwen2-q8_0"]:
    shutil.copy(pathlib.Path(sys.argv[1]) / f"{name}.gguf", GOLDEN)
    llama = Llama(str(GOLDEN / f"{name}.gguf"), n_ctx=128, n_threads=1, type_k=0, type_v=0, verbose=False, logits_all=True)
    expected[name] = []
    for ids in PROMPTS:
        llama.reset()
        llama.eval(ids)
        last = [float(x) for x in llama.scores[len(ids) - 1]]
        made = []
        for token in llama.generate(ids, temp=0.0, repeat_penalty=1.0):
            made.append(token)
            if len(made) == 32:
                break
        expected[name].append({"ids": ids, "last": last, "made": made})
(GOLDEN / "expected.json").write_text(json.dumps(expected))
