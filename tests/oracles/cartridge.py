"""The golden case of cartridges on the tiny Llama of llama_lora.py.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/cartridge.py
Writes tests/oracles/golden/cartridge/cartridge.safetensors: the rows that PEFT takes from a text's cache (start.<our path>), and with
others of the trained ones param., grad., logits and loss as strained_methods.py does. Ours are split by attention.
"""
import json, os
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import CartridgeConfig, get_peft_model
from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values

GOLDEN = "tests/oracles/golden"
N, FROZEN, TEXT = 5, 2, [7, 3, 11, 30, 2, 19, 8]


def load():
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager")


base = load().eval()
heads, width = base.config.num_key_value_heads, base.config.hidden_size // base.config.num_attention_heads
width = getattr(base.config, "head_dim", None) or width


def split(table, name):
    """[n, layers * 2 * heads * width] as keys and values by attention."""
    parts = table.view(table.shape[0], base.config.num_hidden_layers, 2, heads, width)
    return {f"model.layers.{l}.self_attn.{name}{'kv'[i]}": parts[:, l, i] for l in range(parts.shape[1]) for i in range(2)}


m = get_peft_model(load(), CartridgeConfig(task_type="CAUSAL_LM", num_virtual_tokens=N, num_frozen_tokens=FROZEN))
with torch.no_grad():
    cache = base(input_ids=torch.tensor([TEXT]), use_cache=True).past_key_values
initialize_kv_prefix_from_past_key_values(m, past_key_values=cache)
encoder = m.prompt_encoder["default"]
tensors = {}
for name, t in {"frozen.": encoder.frozen_embedding, "": encoder.trainable_embedding}.items():
    tensors |= {f"start.{path}": t for path, t in split(t.detach().clone(), name).items()}
torch.manual_seed(5)
with torch.no_grad():
    encoder.trainable_embedding.add_(torch.randn_like(encoder.trainable_embedding) * 0.3)
m.eval()
batch = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
ids, mask, wanted = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
out = m(input_ids=ids, attention_mask=mask, labels=wanted)
out.loss.backward()
tensors |= {f"param.{path}": t for path, t in split(encoder.frozen_embedding.detach(), "frozen.").items()}
tensors |= {f"param.{path}": t for path, t in split(encoder.trainable_embedding.detach(), "").items()}
tensors |= {f"grad.{path}": t for path, t in split(encoder.trainable_embedding.grad, "").items()}
tensors |= {"logits": out.logits, "loss": out.loss.reshape(1)}
os.makedirs(f"{GOLDEN}/cartridge", exist_ok=True)
save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/cartridge/cartridge.safetensors")
print("cartridge", float(out.loss))
