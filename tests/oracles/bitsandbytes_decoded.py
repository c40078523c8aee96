"""What bitsandbytes computes of the 4-bit golden folders of 16-bit models while all but the codes is f32: the logits of its own products,
which decode to the dtype of what is multiplied; its decoded weights, rounded to the dtype of their quantization states; and the logits with
these, which are what its versions before 0.50, and `model.dequantize()` in any, compute with.

Made by transformers 4.57, bitsandbytes 0.50 and torch 2.8 on CPU. Run from the repository root:
    python tests/oracles/bitsandbytes_decoded.py
Reads tests/oracles/golden/bitsandbytes_halves/<case>/ (bitsandbytes_halves.py) and writes golden/bitsandbytes_decoded/<case>.safetensors.
In training mode, since bitsandbytes repacks 4-bit weights for some CPUs otherwise and then rounds to bfloat16.
"""
import os, warnings
import bitsandbytes as bnb
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

warnings.filterwarnings("ignore")
HALVES, ROOT = "tests/oracles/golden/bitsandbytes_halves", "tests/oracles/golden/bitsandbytes_decoded"
INPUT_IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]])
os.makedirs(ROOT, exist_ok=True)
for case in ["fp4_as_f32", "nf4", "nf4_as_bf16"]:
    model = AutoModelForCausalLM.from_pretrained(f"{HALVES}/{case}", device_map="cpu", dtype="auto").train()
    stored = load_file(f"{HALVES}/{case}/model.safetensors")
    decoded, other = {}, {}
    for name, p in model.named_parameters():
        if not isinstance(p, bnb.nn.Params4bit):
            p.data = p.data.float()
            other[name] = p.data
    for name, module in model.named_modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.compute_dtype, module.compute_type_is_set = torch.float32, True
            # From the file: transformers casts codes that are stored as other numbers than bytes.
            module.weight.data = stored[f"{name}.weight"].view(torch.uint8).reshape(-1, 1)
            weight = bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            decoded[f"{name}.weight"] = weight.contiguous()
    assert len(decoded) == 7 and all(w.dtype in (torch.float16, torch.bfloat16) for w in decoded.values())
    plain = LlamaForCausalLM(model.config).float()
    plain.load_state_dict({**other, **{name: w.float() for name, w in decoded.items()}}, strict=False)
    with torch.no_grad():
        own, rounded = (m(input_ids=INPUT_IDS).logits for m in (model, plain))
    assert own.dtype == rounded.dtype == torch.float32
    save_file({**decoded, "logits": own.contiguous(), "rounded_logits": rounded.contiguous()}, f"{ROOT}/{case}.safetensors")
    print(f"{case}: the two differ by {(own - rounded).abs().max() / own.abs().max():.1e} of the largest logit")
