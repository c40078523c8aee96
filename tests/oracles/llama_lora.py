"""Golden case: tiny Llama models and LoRA / (IA)3 adapters, with logits, loss and gradients.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/llama_lora.py
Writes tests/oracles/golden/llama_lora/{base,lora,ia3}/ and expected.safetensors in each adapter folder.
"""
import json, os, shutil
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, IA3Config, get_peft_model

ROOT = "tests/oracles/golden/llama_lora"
shutil.rmtree(ROOT, ignore_errors=True)
os.makedirs(ROOT)
torch.manual_seed(0)
CONFIG = LlamaConfig(vocab_size=37, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=True,
                     rope_theta=500.0)
IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
LABELS = torch.tensor([[-100, -100, 31, 2, 7, 7, 12], [-100, 1, 0, 4, 8, -100, -100]])


def base():
    return LlamaForCausalLM.from_pretrained(f"{ROOT}/base", dtype=torch.float32, attn_implementation="eager")


model = LlamaForCausalLM(CONFIG)
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 else 0.0))
model.save_pretrained(f"{ROOT}/base")
with torch.no_grad():
    logits = base()(input_ids=IDS, attention_mask=MASK).logits
save_file({"logits": logits.contiguous()}, f"{ROOT}/base/expected.safetensors")


def case(name, config):
    m = get_peft_model(base(), config)
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.2)
    m.eval()
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    for n, p in m.named_parameters():
        if p.requires_grad:
            expected["grad." + n.replace(".default", "")] = p.grad.contiguous()
    m.save_pretrained(f"{ROOT}/{name}")
    save_file(expected, f"{ROOT}/{name}/expected.safetensors")
    readme = f"{ROOT}/{name}/README.md"
    if os.path.exists(readme):
        os.remove(readme)


case("lora", LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=True))
case("ia3", IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]))
json.dump({"inputIds": IDS.tolist(), "attentionMask": MASK.tolist(), "labels": LABELS.tolist()},
          open(f"{ROOT}/batch.json", "w"))
