"""Golden adapter folders whose start changes the base, and which hold A and B alone: PiSSA, OLoRA, LoftQ. PEFT changes the base again as it
loads one, so the expected logits are those of its own reload on the untouched base. There its SVD and QR are taken in float64: torch's
float32 ones move the logits by up to 2e-5 of the largest (printed), which is PEFT's own error and not to be copied.

Made by transformers 4.57 and peft 0.21 on CPU in float32, on the bases of peft_folders.py. Run from the repository root:
    python tests/oracles/peft_changed_base.py [case ...]
Writes tests/oracles/golden/peft_changed_base/<case>/: the folder, case.json (the base) and expected.safetensors.
"""
import inspect, json, os, shutil, sys, textwrap, warnings
import torch
import peft.tuners.lora.layer as lora_layer
import peft.utils.loftq_utils as loftq_utils
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
ROOT = f"{GOLDEN}/peft_changed_base"
BATCH = json.load(open(f"{GOLDEN}/peft_folders/batch.json"))
IDS, MASK = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask"])
TIED, UNTIED, QWEN, GPT2 = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2", "peft_folders/bases/gpt2"
QV = ["q_proj", "v_proj"]
FOUR_BITS = {"loftq_bits": 4, "loftq_iter": 1}

# LoftQ's start wants a GPU by name; it runs as well without.
source = inspect.getsource(loftq_utils.loftq_init).replace('"xpu" if is_xpu_available() else "cuda"', '"cpu"')
exec(textwrap.dedent(source), vars(loftq_utils))
lora_layer.loftq_init = loftq_utils.loftq_init


svd, qr = torch.linalg.svd, torch.linalg.qr


def in_double(decompose):
    return lambda w, **options: tuple(part.float() for part in decompose(w.double(), **options))


def reload(which, folder):
    torch.linalg.svd, torch.linalg.qr = in_double(svd), in_double(qr)
    try:
        return logits(PeftModel.from_pretrained(base(which), folder))
    finally:
        torch.linalg.svd, torch.linalg.qr = svd, qr


def lora(start, **options):
    return lambda: LoraConfig(task_type="CAUSAL_LM", init_lora_weights=start, **{"r": 3, "lora_alpha": 5, **options})


CASES = {
    "pissa": (TIED, lora("pissa")),
    "pissa_all_linear": (UNTIED, lora("pissa", target_modules="all-linear", r=4, lora_alpha=4)),
    "pissa_rslora": (QWEN, lora("pissa", target_modules=["q_proj", "down_proj"], use_rslora=True, lora_dropout=0.25)),
    "pissa_patterns": (TIED, lora("pissa", target_modules=QV, rank_pattern={r"layers\.1\.self_attn\.q_proj": 5},
                                  alpha_pattern={"v_proj": 7}, use_rslora=True)),
    # Ranks over a matrix's size: PEFT keeps as many as there are, under the scale of the rank asked for.
    "pissa_over": (UNTIED, lora("pissa", target_modules=["k_proj", "up_proj"], r=9)),
    # PEFT leaves an embedding's table as it is.
    "pissa_embedding": (UNTIED, lora("pissa", target_modules=["embed_tokens", "lm_head", "o_proj"])),
    # The changed matrix is in the folder, and is the embedding's too.
    "pissa_head_tied": (TIED, lora("pissa", target_modules=["lm_head", "q_proj"])),
    "pissa_saved": (QWEN, lora("pissa", target_modules=QV, bias="lora_only", modules_to_save=["lm_head"])),
    "pissa_dora": (TIED, lora("pissa", target_modules=["q_proj", "down_proj"], use_dora=True)),
    "pissa_gpt2": (GPT2, lora("pissa", target_modules=["c_attn", "mlp.c_proj"], fan_in_fan_out=True)),
    "pissa_gpt2_all": (GPT2, lora("pissa", target_modules="all-linear", r=2, lora_alpha=1, use_rslora=True)),
    "olora": (TIED, lora("olora")),
    "olora_all_linear": (QWEN, lora("olora", target_modules="all-linear", use_rslora=True, bias="all")),
    "olora_over": (UNTIED, lora("olora", target_modules=["v_proj", "down_proj", "lm_head"], r=15, lora_alpha=6)),
    # A Conv1D is taken as it lies, [in, out], and only a square one then runs.
    "olora_gpt2": (GPT2, lora("olora", target_modules=["attn.c_proj"])),
    # On a quantized base PEFT quantizes again what OLoRA leaves; there a Conv1D is a Linear.
    "olora_nf4": ("bitsandbytes_gpt2/nf4_double", lora("olora", target_modules=["c_attn", "c_fc"], use_rslora=True)),
    "olora_int8": ("bitsandbytes_gpt2/int8", lora("olora", target_modules=["c_attn", "mlp.c_proj"], r=4)),
    # Some of its matrices are quantized, others lie [in, out].
    "olora_some": ("bitsandbytes_gpt2/nf4_some", lora("olora", target_modules=["attn.c_proj"])),
    "loftq": (TIED, lora("loftq", loftq_config=FOUR_BITS)),
    "loftq_patterns": (QWEN, lora("loftq", loftq_config=FOUR_BITS, target_modules="all-linear", use_rslora=True,
                                  rank_pattern={"up_proj": 5}, modules_to_save=["lm_head"])),
    "loftq_passes": (TIED, lora("loftq", loftq_config={"loftq_bits": 4, "loftq_iter": 4}, target_modules=["q_proj", "down_proj"])),
    "loftq_int8": (QWEN, lora("loftq", loftq_config={"loftq_bits": 8, "loftq_iter": 1}, target_modules=["v_proj", "up_proj"])),
    "loftq_int8_passes": (UNTIED, lora("loftq", loftq_config={"loftq_bits": 8, "loftq_iter": 3}, r=9, target_modules="all-linear",
                                       use_rslora=True)),
    "loftq_gpt2": (GPT2, lora("loftq", loftq_config=FOUR_BITS, target_modules=["attn.c_proj"])),
    "loftq_gpt2_passes": (GPT2, lora("loftq", loftq_config={"loftq_bits": 8, "loftq_iter": 2}, target_modules=["attn.c_proj"])),
}


def base(which):
    placed = {"device_map": "cpu"} if "bitsandbytes" in which else {}
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32, attn_implementation="eager", **placed)


def logits(model):
    # In evaluation bitsandbytes repacks 4-bit weights for some CPUs and rounds the inputs of 8-bit ones.
    quantized = any(type(m).__name__ in ("Linear4bit", "Linear8bitLt") for m in model.modules())
    return model.train(quantized)(input_ids=IDS, attention_mask=MASK).logits.detach().contiguous()


for name in sys.argv[1:] or CASES:
    which, make = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    model = get_peft_model(base(which), make())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
    folder = f"{ROOT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    os.remove(f"{folder}/README.md")
    single = logits(PeftModel.from_pretrained(base(which), folder))
    again = reload(which, folder)
    bare = logits(base(which))
    config = json.load(open(f"{folder}/adapter_config.json"))
    plain = json.dumps({**config, "init_lora_weights": True, "loftq_config": {}}, indent=2)
    os.makedirs(f"{folder}/plain")
    open(f"{folder}/plain/adapter_config.json", "w").write(plain)
    shutil.copy(f"{folder}/adapter_model.safetensors", f"{folder}/plain")
    try:
        wrong = float((logits(PeftModel.from_pretrained(base(which), f"{folder}/plain")) - again).abs().max())
    except RuntimeError:  # ranks that the config does not say
        wrong = float("nan")
    shutil.rmtree(f"{folder}/plain")
    save_file({"logits": again}, f"{folder}/expected.safetensors")
    json.dump({"base": which}, open(f"{folder}/case.json", "w"))
    print(f"{name}: reload differs from the saved by {float((single - logits(model)).abs().max()):.1e}, in double by "
          f"{float((again - single).abs().max() / single.abs().max()):.1e} of the largest, from the base by "
          f"{float((again - bare).abs().max()):.2f}, from A and B on the untouched base by {wrong:.2f}")
