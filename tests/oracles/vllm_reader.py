"""Adapter folders that we write, read by vLLM 0.34's own code: its check of the config and its reader of tensors.

    deno run -A tests/oracles/vllm_written.ts FOLDER
    pip download --no-deps --only-binary :all: vllm==0.34.0
    python tests/oracles/vllm_reader.py vllm-0.34.0-*.whl FOLDER

needs torch, safetensors and regex; vLLM itself need not be installed: the two modules are taken out of its wheel, with stand-ins for its
logger, its configuration (ranks of up to 16, its default) and what maps names of other models. Layers that a Llama has are those of
packed_modules_mapping and embedding_modules in vllm/model_executor/models/llama.py.

writes golden/vllm_reader.json: for each folder its config, its tensors' shapes, and what vLLM's worker would do with them: the layers with
their ranks and scales, or why it refuses.
"""
import json
import logging
import sys
import types
import zipfile
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors import safe_open

OUT = Path(__file__).parent / "golden" / "vllm_reader.json"
LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head"}
wheel, folder = zipfile.ZipFile(sys.argv[1]), Path(sys.argv[2])


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


logger = logging.getLogger("vllm")
logger.info_once = logger.info
for name in ("vllm", "vllm.lora", "vllm.config", "vllm.model_executor", "vllm.model_executor.models", "vllm.utils"):
    stand_in(name)
stand_in("vllm.logger", init_logger=lambda _: logger)
stand_in("vllm.config.lora", LoRAConfig=object)
stand_in("vllm.model_executor.models.utils", WeightsMapper=object)
stand_in("vllm.utils.torch_utils", PIN_MEMORY=False)


def source(name):
    return wheel.read(name.replace(".", "/") + ".py").decode()


def own(name, text=None):
    exec(compile(text or source(name), name, "exec"), stand_in(name).__dict__)
    return sys.modules[name]


helper = own("vllm.lora.peft_helper").PEFTHelper
own("vllm.lora.lora_weights")
# Of its utilities the two functions that read names; the others take vLLM's layers.
utils = source("vllm.lora.utils")
functions = [utils[utils.index(f"def {name}("):] for name in ("parse_fine_tuned_lora_name", "is_base_embedding_weights")]
functions = [text[:text.index("\n\n\n")] for text in functions]
own("vllm.lora.utils", "\n\n\n".join(functions) + "\n\ndef get_lora_id():\n    return 1\n")
model = own("vllm.lora.lora_model").LoRAModel


def read(path):
    """As WorkerLoRAManager._load_adapter."""
    peft = helper.from_local_dir(str(path), 64)
    peft.validate_legal(SimpleNamespace(max_lora_rank=16))
    found = model.from_local_checkpoint(str(path), LLAMA, peft_helper=peft, device="cpu", dtype=torch.float32, model_vocab_size=37)
    for lora in found.loras.values():
        assert lora.lora_a.shape[0] == lora.lora_b.shape[1] == lora.rank, lora.module_name
    return {
        "layers": {name: {"rank": lora.rank, "scale": lora.scaling} for name, lora in sorted(found.loras.items())},
        "saved": sorted(found.modules_to_save),
    }


cases = {}
for path in sorted(folder.iterdir()):
    config = json.loads((path / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "base"
    with safe_open(path / "adapter_model.safetensors", framework="pt") as tensors:
        shapes = {name: list(tensors.get_slice(name).get_shape()) for name in sorted(tensors.keys())}
    try:
        verdict = read(path)
    except (ValueError, TypeError) as error:
        verdict = {"refused": str(error).replace(str(folder), "FOLDER")}
    cases[path.name] = {"config": config, "shapes": shapes, **verdict}
    print(path.name, verdict.get("refused", f"{len(verdict.get('layers', []))} layers"))
OUT.write_text(json.dumps({"vllm": Path(sys.argv[1]).name.split("-")[1], "cases": cases}, indent=1) + "\n")
