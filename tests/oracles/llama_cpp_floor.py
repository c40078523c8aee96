"""How far llama.cpp's greedy text differs from itself between its own settings, beside how far it differs from ours.

  deno run -A tests/oracles/gguf_in_llama_cpp.ts FOLDER MODEL [ROUNDING]
  python tests/oracles/llama_cpp_floor.py FOLDER ["model merged as q8_0"]

Each case is generated under every setting: prompts in batches of 1, 8 or 512 tokens, flash attention on and off, one and two threads, keys
and values kept in f32 or (llama.cpp's default) f16. Counted are the tokens before the first that differs, and, along our text, the places
where the best token is the same. Where a text differs from ours, the gap of llama.cpp's two best scores stands beside the spread of that
gap between its settings, read along our text: within the spread, llama.cpp's settings decide the token, not the model. Gaps are in parts of
the largest score.
"""

import itertools
import json
import pathlib
import sys

import numpy as np
from llama_cpp import Llama

SETTINGS = [
    {"batch": batch, "flash": flash, "threads": threads, "cache": cache}
    for cache, batch, flash, threads in itertools.product(["f32", "f16"], [512, 8, 1], [False, True], [1, 2])
]


def named(setting):
    return (f"batch {setting['batch']:3}, flash attention {'on ' if setting['flash'] else 'off'}, {setting['threads']} thread"
            f"{'s' if setting['threads'] > 1 else ' '}, cache {setting['cache']}")


def opened(case, setting):
    kind = {"f32": 0, "f16": 1}[setting["cache"]]
    return Llama(case["model"], lora_path=case.get("adapter"), n_ctx=256, n_threads=setting["threads"],
                 n_threads_batch=setting["threads"], n_batch=setting["batch"], n_ubatch=setting["batch"],
                 flash_attn=setting["flash"], type_k=kind, type_v=kind, verbose=False, logits_all=True)


def greedy(llama, ids, length):
    """The text that the settings give: the prompt in batches, then a token at a time."""
    llama.reset()
    llama.eval(ids)
    made = []
    while len(made) < length:
        made.append(int(np.argmax(llama.scores[llama.n_tokens - 1])))
        llama.eval(made[-1:])
    return made


def along(llama, ids, text):
    """The scores before each token of a given text."""
    llama.reset()
    llama.eval(ids)
    scores = []
    for token in text:
        scores.append(llama.scores[llama.n_tokens - 1].copy())
        llama.eval([token])
    return np.stack(scores)


def same(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), len(a))


for case in json.loads((pathlib.Path(sys.argv[1]) / "cases.json").read_text()):
    if len(sys.argv) > 2 and case["name"] not in sys.argv[2:]:
        continue
    total = sum(len(row["made"]) for row in case["rows"])
    texts, gaps, scale, best = [], [], [], []
    for setting in SETTINGS:
        llama = opened(case, setting)
        texts.append([greedy(llama, row["ids"], len(row["made"])) for row in case["rows"]])
        scores = [along(llama, row["ids"], row["made"]) for row in case["rows"]]
        if setting is SETTINGS[0]:
            tops = [np.argsort(s, axis=1)[:, -2:] for s in scores]
        gaps.append([np.take_along_axis(s, t[:, 1:], 1)[:, 0] - np.take_along_axis(s, t[:, :1], 1)[:, 0]
                     for s, t in zip(scores, tops)])
        scale.append([np.abs(s).max(axis=1) for s in scores])
        best.append(np.concatenate([s.argmax(axis=1) for s in scores]))
        del llama
    print(f"{case['name']}: {total} tokens after {len(case['rows'])} prompts")
    own = np.concatenate([row["made"] for row in case["rows"]])
    for setting, text, tokens in zip(SETTINGS, texts, best):
        ours = sum(same(t, row["made"]) for t, row in zip(text, case["rows"]))
        first = sum(same(t, u) for t, u in zip(text, texts[0]))
        print(f"  {named(setting)}: ours {ours} before the first that differs, {(tokens == own).sum()} along our text; "
              f"the first setting's {first} and {(tokens == best[0]).sum()}")
    pairs = [sum(same(a, b) for a, b in zip(x, y)) for x, y in itertools.combinations(texts, 2)]
    along_pairs = [int((x == y).sum()) for x, y in itertools.combinations(best, 2)]
    print(f"  any two settings: {min(pairs)} to {max(pairs)} before the first that differs, {np.mean(pairs):.0f} on average; "
          f"{min(along_pairs)} to {max(along_pairs)} along our text, {np.mean(along_pairs):.0f} on average")
    for i, row in enumerate(case["rows"]):
        at = min(same(text[i], row["made"]) for text in texts)
        if at == len(row["made"]):
            continue
        here = [gap[i][at] / largest[i][at] for gap, largest in zip(gaps, scale)]
        others = sorted({text[i][at] for text in texts if text[i][:at] == row["made"][:at]})
        print(f"  prompt {i + 1}, token {at + 1}: ours {row['made'][at]}, theirs {others}; gap of the two best {min(map(abs, here)):.1e} to "
              f"{max(map(abs, here)):.1e}, spread between settings {max(here) - min(here):.1e}")
    spreads = np.concatenate([np.ptp(np.stack([g[i] / s[i] for g, s in zip(gaps, scale)]), axis=0) for i in range(len(case["rows"]))])
    print(f"  spread of the gap of two best along our text: median {np.median(spreads):.1e}, largest {spreads.max():.1e}")
