"""Golden bitsandbytes folders of 16-bit Llamas under rarely set options: codes stored as other numbers than bytes, other compute dtypes,
no outliers under int8.

Made by transformers 4.57 and bitsandbytes 0.50 on CPU. Run from the repository root:
    python tests/oracles/bitsandbytes_halves.py
Writes tests/oracles/golden/bitsandbytes_halves/<case>/ as transformers saves them.
"""
import os, shutil, tempfile, warnings
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden/bitsandbytes_halves"
BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32
CASES = {
    "nf4_as_bf16": (BF16, dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                               bnb_4bit_compute_dtype=BF16, bnb_4bit_quant_storage=BF16)),
    "fp4_as_f32": (F16, dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=F16, bnb_4bit_quant_storage=F32)),
    "nf4": (F16, dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=BF16)),
    "int8_no_outliers": (BF16, dict(load_in_8bit=True, llm_int8_threshold=0.0)),
}
model = LlamaForCausalLM(LlamaConfig(vocab_size=37, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                                     num_key_value_heads=1, max_position_embeddings=32, tie_word_embeddings=True))
torch.manual_seed(5)
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn_like(p) * 0.2 + (1.0 if p.dim() == 1 else 0.0))
shutil.rmtree(ROOT, ignore_errors=True)
for name, (dtype, options) in CASES.items():
    with tempfile.TemporaryDirectory() as plain:
        model.to(dtype).save_pretrained(plain)
        q = AutoModelForCausalLM.from_pretrained(plain, quantization_config=BitsAndBytesConfig(**options), device_map="cpu", dtype=dtype)
        q.save_pretrained(f"{ROOT}/{name}")
        os.remove(f"{ROOT}/{name}/generation_config.json")
        model = model.to(F32)
