"""Golden file: which modules PEFT's own rule chooses for many configs, over the module names of a Llama and a GPT-2.

Made by peft 0.21. Run from the repository root:
    python tests/oracles/peft_targets.py
Writes tests/oracles/golden/peft_targets/targets.json.
"""
import itertools, json, random, re
from types import SimpleNamespace
from peft.tuners.tuners_utils import check_target_module_exists, _ExcludedModule

LLAMA = [f"model.layers.{i}.{m}" for i in range(12) for m in
         ["self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.experts.3.up_proj"]] + ["model.embed_tokens", "lm_head"]
GPT2 = [f"transformer.h.{i}.{m}" for i in range(3) for m in ["attn.c_attn", "attn.c_proj", "mlp.c_proj"]] + [
    "transformer.wte", "q_proj", "h.1.v_proj"]
PATHS = LLAMA + GPT2
TARGETS = [["q_proj"], ["c_proj"], ["mlp.c_proj", "lm_head"], ["model.layers.1.self_attn.q_proj", "v_proj"], ["proj"],
           ["embed_tokens", "up_proj"], r".*\.(?P<kind>q|v)_proj", r"(?i).*\.C_PROJ", r"model\.layers\.\d\..*",
           r"(?:.*\.)?(\w)\w*_proj", r".*attn\.c_(attn|proj)\Z", r"(?P<a>\w+)\.h\.1\.(?P<b>\w+)\.c_proj", "q_proj", []]
EXCLUDE = [None, ["v_proj"], ["layers.1.self_attn.q_proj", "wte"], r".*\.1\d?\..*", r"mlp"]
SAVED = [None, ["lm_head"], ["layers.0.mlp", "h.2"], ["embed_tokens", r"h\.\d"]]
LAYERS = [(None, None), (1, None), ([0, 11], None), ([3], "layers"), ([1, 2], ["h", "layers"]), ([3], "experts"), ([], None)]

cases = []
for target, exclude, saved, (layers, pattern) in itertools.product(TARGETS, EXCLUDE, SAVED, LAYERS):
    if isinstance(target, str) and layers is not None:
        continue
    config = SimpleNamespace(target_modules=target, exclude_modules=exclude, modules_to_save=saved,
                             layers_to_transform=layers, layers_pattern=pattern, target_parameters=None)
    found = [check_target_module_exists(config, path) for path in PATHS]
    chosen = [i for i, hit in enumerate(found) if hit and not isinstance(hit, _ExcludedModule)]
    cases.append([target, exclude, saved, layers, pattern, chosen])
random.Random(0).shuffle(cases)
json.dump({"paths": PATHS, "cases": cases[:500]}, open("tests/oracles/golden/peft_targets.json", "w"), separators=(",", ":"))
print(len(cases), sum(bool(c[-1]) for c in cases))
