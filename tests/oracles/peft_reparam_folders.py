"""Golden adapter folders of the reparametrised methods that PEFT has: AdaLoRA, LoHa, LoKr, VeRA, HRA, MiSS, OFT, BOFT, FourierFT.

Made by transformers 4.57 and peft 0.21 on CPU in float32, on the bases of peft_folders.py. Run from the repository root:
    python tests/oracles/peft_reparam_folders.py [case ...]
Writes tests/oracles/golden/peft_reparam_folders/<case>/ in the form of peft_folders.py: the folder, and expected.safetensors with logits,
loss and the gradient of every trained parameter under the key that the folder gives it.
"""
import json, os, shutil, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import (AdaLoraConfig, BOFTConfig, FourierFTConfig, HRAConfig, LoHaConfig, LoKrConfig, MissConfig, OFTConfig,
                  VeraConfig, get_peft_model, get_peft_model_state_dict)

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden/peft_reparam_folders"
BATCH = json.load(open("tests/oracles/golden/peft_folders/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
TIED, UNTIED, QWEN, GPT2 = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2", "peft_folders/bases/gpt2"
QV = ["q_proj", "v_proj"]
ADA = dict(init_r=4, target_r=2, lora_alpha=5)
CASES = {
    "adalora": (QWEN, lambda c: AdaLoraConfig(total_step=10, tinit=1, deltaT=2, beta1=0.7, lora_dropout=0.25, **ADA, **c)),
    "adalora_gpt2": (GPT2, lambda c: AdaLoraConfig(total_step=10, orth_reg_weight=0.1, **ADA, **c)),
    # With the choice of triplets made: one layer has none left.
    "adalora_pruned": (TIED, lambda c: AdaLoraConfig(total_step=10, target_modules=["q_proj", "down_proj"], **ADA, **c)),
    "loha": (QWEN, lambda c: LoHaConfig(r=3, alpha=5, **c)),
    "loha_patterns": (TIED, lambda c: LoHaConfig(r=2, target_modules=["q_proj", "down_proj"], rank_dropout=0.25,
                                                 rank_pattern={"down_proj": 3}, alpha_pattern={"q_proj": 7}, **c)),
    "lokr": (TIED, lambda c: LoKrConfig(r=2, alpha=3, target_modules=QV, layers_to_transform=[1], **c)),
    "lokr_both": (UNTIED, lambda c: LoKrConfig(r=1, alpha=3, target_modules=["q_proj", "down_proj", "lm_head"],
                                               decompose_both=True, decompose_factor=4, module_dropout=0.25, **c)),
    "lokr_full": (UNTIED, lambda c: LoKrConfig(r=9, alpha=3, target_modules=QV, init_weights="lycoris",
                                             rank_dropout=0.25, rank_dropout_scale=True, modules_to_save=["lm_head"], **c)),
    "vera": (QWEN, lambda c: VeraConfig(r=4, target_modules=["q_proj", "down_proj"], vera_dropout=0.25, **c)),
    "vera_unsaved": (TIED, lambda c: VeraConfig(r=3, save_projection=False, projection_prng_key=7, d_initial=0.3, **c)),
    "vera_gpt2": (GPT2, lambda c: VeraConfig(r=3, **c)),
    "hra": (TIED, lambda c: HRAConfig(r=4, target_modules=QV, exclude_modules=["layers.0.self_attn.q_proj"], **c)),
    "hra_exact": (QWEN, lambda c: HRAConfig(r=3, target_modules=QV, apply_GS=True, init_weights=False, **c)),
    "miss": (TIED, lambda c: MissConfig(r=5, target_modules=QV, miss_dropout=0.25, **c)),
    "miss_mini": (QWEN, lambda c: MissConfig(r=4, target_modules=QV, init_weights="mini", mini_r=3, **c)),
    "miss_bat": (TIED, lambda c: MissConfig(r=4, target_modules=QV, init_weights="bat", **c)),
    "oft": (TIED, lambda c: OFTConfig(oft_block_size=5, target_modules=QV, **c)),
    "oft_exact": (QWEN, lambda c: OFTConfig(oft_block_size=0, r=4, target_modules=QV, use_cayley_neumann=False,
                                            block_share=True, **c)),
    "oft_constrained": (QWEN, lambda c: OFTConfig(oft_block_size=4, target_modules=QV, coft=True, eps=0.3, **c)),
    # Saved before a forward pass, as after a last optimizer step: outside the ball, from where the next pass pulls them back.
    "oft_unprojected": (TIED, lambda c: OFTConfig(oft_block_size=3, target_modules=QV, coft=True, eps=0.1, use_cayley_neumann=False,
                                                  **c)),
    "boft": (QWEN, lambda c: BOFTConfig(target_modules=["q_proj", "down_proj"], **c)),
    # The base's biases beside it: Qwen2 has them on q, k and v, GPT-2 on all layers and norms.
    "boft_bias": (QWEN, lambda c: BOFTConfig(target_modules=["q_proj", "down_proj"], boft_dropout=0.25, bias="boft_only", **c)),
    # Without its CUDA kernel PEFT makes one factor and records two.
    "boft_one_factor": (QWEN, lambda c: BOFTConfig(target_modules=["q_proj", "down_proj"], boft_block_size=2,
                                                   boft_n_butterfly_factor=2, **c)),
    "hra_bias_saved": (QWEN, lambda c: HRAConfig(r=2, target_modules=["q_proj"], bias="all", modules_to_save=["k_proj"], **c)),
    "hra_bias": (QWEN, lambda c: HRAConfig(r=2, target_modules=QV, bias="all", **c)),
    "oft_bias": (QWEN, lambda c: OFTConfig(oft_block_size=3, target_modules=["q_proj", "up_proj"], module_dropout=0.5,
                                           bias="oft_only", **c)),
    "vera_bias": (GPT2, lambda c: VeraConfig(r=3, bias="all", modules_to_save=["lm_head"], **c)),
    "fourierft_bias": (GPT2, lambda c: FourierFTConfig(n_frequency=9, scaling=12.0, target_modules=["c_attn", "mlp.c_proj"],
                                                       bias="fourier_only", **c)),
    "fourierft": (TIED, lambda c: FourierFTConfig(n_frequency=11, target_modules=QV, scaling=30.0,
                                                  n_frequency_pattern={"v_proj": 5}, **c)),
    "fourierft_gpt2": (GPT2, lambda c: FourierFTConfig(n_frequency=20, random_loc_seed=3, scaling=12.0, init_weights=True,
                                                       **c)),
}


def case(name):
    which, make = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    base = AutoModelForCausalLM.from_pretrained(f"tests/oracles/golden/{which}", dtype=torch.float32,
                                                attn_implementation="eager")
    m = get_peft_model(base, make({"task_type": "CAUSAL_LM"}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
    if name == "adalora_pruned":
        patterns = {}
        for n, p in m.get_base_model().named_parameters():
            if n.endswith("lora_E.default"):
                kept = [False] * 4 if "layers.0.mlp" in n else [len(patterns) != 1, True, False, True]
                patterns[n] = kept
        m.base_model.resize_modules_by_rank_pattern(patterns, "default")
        m.peft_config["default"].rank_pattern = patterns
    m.eval()
    folder = f"{ROOT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    if name == "oft_unprojected":
        m.save_pretrained(folder)
    m(input_ids=IDS, attention_mask=MASK)  # COFT pulls its parameters back in a forward pass
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    # The saver itself maps names to keys: it is given gradients in place of the parameters.
    parameters = dict(m.named_parameters())
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None and ".modules_to_save." not in key:
            expected["grad." + key] = gradient.contiguous()
    if name != "oft_unprojected":
        m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    json.dump({"base": which}, open(f"{folder}/case.json", "w"))
    print(name)


for wanted in sys.argv[1:] or CASES:
    case(wanted)
