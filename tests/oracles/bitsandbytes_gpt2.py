"""Golden bitsandbytes folders of GPT-2, whose matrices transformers turns before they are quantized, with their logits, and PEFT's adapters of
them: to PEFT a quantized Conv1D is a Linear, so it has methods there that it has not on the plain model.

Made by transformers 4.57, bitsandbytes 0.50 and peft 0.21 on CPU. Run from the repository root:
    python tests/oracles/bitsandbytes_gpt2.py
Writes tests/oracles/golden/bitsandbytes_gpt2/: base/ (float32) and a folder for each type with expected.safetensors. Logits are those of
training mode, since bitsandbytes repacks 4-bit weights for some CPUs otherwise and then rounds to bfloat16; there is no dropout. Its
decoder for CPUs is wrong for rows of 32, 80 or 96 weights (it takes other blocks' scales), so there are none here, and each decoded matrix
is compared with codes times scales.
"""
import os, shutil, warnings
import bitsandbytes.functional as F
import torch
from safetensors.torch import save_file
from peft import BOFTConfig, LoHaConfig, LoraConfig, OFTConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden/bitsandbytes_gpt2"
IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]])
FOUR = dict(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
CASES = {
    "nf4": dict(bnb_4bit_quant_type="nf4", **FOUR),
    "nf4_double": dict(bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, **FOUR),
    "fp4": dict(bnb_4bit_quant_type="fp4", **FOUR),
    "fp4_double": dict(bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True, **FOUR),
    "int8": dict(load_in_8bit=True),
    # Some matrices stay as they are, [in, out].
    "nf4_some": dict(bnb_4bit_quant_type="nf4", llm_int8_skip_modules=["lm_head", "c_fc", "transformer.h.0.attn.c_proj"], **FOUR),
}
ADAPTERS = {
    "lora": ("nf4_double", lambda: LoraConfig(r=3, lora_alpha=5, target_modules=["c_attn", "mlp.c_proj"], use_dora=True)),
    "boft": ("nf4", lambda: BOFTConfig(boft_block_size=4, target_modules=["c_fc", "attn.c_proj"], bias="boft_only")),
    "oft": ("fp4", lambda: OFTConfig(oft_block_size=4, target_modules=["c_attn"], use_cayley_neumann=False)),
    "loha": ("int8", lambda: LoHaConfig(r=2, alpha=5, target_modules=["attn.c_proj", "mlp.c_proj"])),
}


def check(module):
    state = module.weight.quant_state
    shape = state.shape
    absmax = state.absmax
    if state.nested:
        absmax = F.dequantize_blockwise(absmax, state.state2) + state.offset
    codes = torch.stack([module.weight.data.flatten() >> 4, module.weight.data.flatten() & 15], 1).flatten()[: shape.numel()]
    exact = (state.code[codes.long()] * absmax.float().repeat_interleave(state.blocksize)[: shape.numel()]).view(shape)
    assert torch.equal(F.dequantize_4bit(module.weight.data, state), exact), shape


# 20 and 72 wide: matrices of 1200, 400 and 1440 weights, whose last block of 64 is not full.
model = GPT2LMHeadModel(GPT2Config(vocab_size=37, n_embd=20, n_inner=72, n_layer=2, n_head=2, n_positions=32, attn_pdrop=0, embd_pdrop=0,
                                   resid_pdrop=0))
torch.manual_seed(7)
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and "bias" not in name else 0.0))
shutil.rmtree(ROOT, ignore_errors=True)
model.save_pretrained(f"{ROOT}/base")
bare = model.train()(input_ids=IDS).logits
for name, options in CASES.items():
    folder = f"{ROOT}/{name}"
    made = AutoModelForCausalLM.from_pretrained(f"{ROOT}/base", quantization_config=BitsAndBytesConfig(**options),
                                                dtype=torch.float32, device_map="cpu")
    made.save_pretrained(folder)
    again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu").train()
    for module in again.modules():
        if type(module).__name__ == "Linear4bit":
            check(module)
    with torch.no_grad():
        logits = again(input_ids=IDS).logits.float().contiguous()
    save_file({"logits": logits}, f"{folder}/expected.safetensors")
    kinds = sorted({type(m).__name__ for m in again.modules() if type(m).__name__ in ("Linear4bit", "Linear8bitLt", "Conv1D")})
    print(f"{name}: {', '.join(kinds)}; logits differ from the base's by {float((logits - bare).abs().max()):.2f}")
for name, (kind, config) in ADAPTERS.items():
    made = AutoModelForCausalLM.from_pretrained(f"{ROOT}/{kind}", dtype=torch.float32, device_map="cpu")
    torch.manual_seed(5)
    made = get_peft_model(made, config())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
        folder = f"{ROOT}/adapters/{name}"
        made.save_pretrained(folder)
        os.remove(f"{folder}/README.md")
        save_file({"logits": made.train()(input_ids=IDS).logits.float().contiguous()}, f"{folder}/expected.safetensors")
for folder, _, files in os.walk(ROOT):
    for file in files:
        if file == "generation_config.json":
            os.remove(os.path.join(folder, file))
