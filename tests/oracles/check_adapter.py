"""Loads with PEFT and transformers what we wrote, and compares the logits with ours. Run by hand from the repository root:

    deno run -A tests/oracles/check_adapter.ts FOLDER      writes adapters and models, each with our logits
    python tests/oracles/check_adapter.py FOLDER           prints the largest difference for each, relative to max |logit|

An adapter counts as loaded only if PEFT reports no missing and no unexpected key.
"""
import json, os, sys, warnings
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from peft import PeftConfig, PeftModel, get_peft_model
from peft.utils import set_peft_model_state_dict

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden/"
BATCH = json.load(open(f"{GOLDEN}peft_folders/batch.json"))


def model_at(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")


def relative(model, folder):
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor(BATCH["inputIds"]),
                              attention_mask=torch.tensor(BATCH["attentionMask"])).logits
    ours = load_file(f"{folder}/ours.safetensors")["logits"].reshape(logits.shape)
    return ((logits - ours).abs().max() / ours.abs().max()).item()


def adapter(folder, base):
    files = sorted(f for f in os.listdir(folder) if f.startswith("adapter_"))
    config = PeftConfig.from_pretrained(folder)
    wrapped = get_peft_model(model_at(GOLDEN + base), config)
    state = load_file(f"{folder}/adapter_model.safetensors")
    result = set_peft_model_state_dict(wrapped, state)
    # A tied head's rows are the embedding's own parameter under a second name, which PEFT does not save.
    tied = "lm_head.token_adapter" if wrapped.config.tie_word_embeddings else "no such key"
    missing = [k for k in result.missing_keys
               if any(p in k for p in ("lora_", "ia3_", "modules_to_save", "tokens_delta")) and tied not in k]
    loaded = PeftModel.from_pretrained(model_at(GOLDEN + base), folder)
    return relative(loaded, folder), missing, list(result.unexpected_keys), files


root = sys.argv[1]
worst = 0.0
for name in sorted(os.listdir(root)):
    folder = f"{root}/{name}"
    base = json.load(open(f"{folder}/case.json")).get("base")
    if base is None:
        error, notes = relative(model_at(folder), folder), ""
    else:
        error, missing, unexpected, _ = adapter(folder, base)
        notes = f"missing {missing} unexpected {unexpected}" if missing or unexpected else ""
    worst = max(worst, error if not notes else 1.0)
    print(f"{name:32} {error:.1e} {notes}")
print(f"largest {worst:.1e}")
