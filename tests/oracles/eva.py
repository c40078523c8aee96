"""Golden cases of EVA on the tiny Llama of llama_lora.py (run that first), by peft 0.21 with its minibatch SVD made exact
(peft's own is torch.svd_lowrank, whose random numbers nobody else has). Run from the repository root:
    python tests/oracles/eva.py
"""
import json, os
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from peft.tuners.lora import eva
from peft.utils.incremental_pca import IncrementalPCA

OUT = "tests/oracles/golden/eva"
eva.IncrementalPCA = lambda n_components, **_: IncrementalPCA(n_components=n_components, copy=True)
base = lambda: LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32,
                                                attn_implementation="eager")
torch.manual_seed(0)
batches = []
for i in range(3):
    ids = torch.randint(0, 37, (3, 11 + i))
    mask = torch.ones_like(ids)
    mask[1, 8:] = 0
    labels = ids.clone()
    labels[:, :2] = -100
    labels[mask == 0] = -100
    batches.append({"input_ids": ids, "attention_mask": mask, "labels": labels})
cases = {}
for name, options, settings in [
    ("eva", dict(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "o_proj", "down_proj", "gate_proj"]), dict(rho=2.0, tau=0.99)),
    ("eva_few", dict(r=1, lora_alpha=3, target_modules=["q_proj", "v_proj", "o_proj", "down_proj", "gate_proj"]), dict(rho=4.0, tau=0.95)),
    ("eva_half", dict(r=1, lora_alpha=3, target_modules=["q_proj", "v_proj", "o_proj", "down_proj", "gate_proj"]), dict(rho=2.5, tau=0.9)),
    ("eva_uniform", dict(r=3, lora_alpha=3, target_modules=["q_proj", "v_proj", "down_proj"]), dict(rho=1.0, tau=0.9)),
]:
    torch.manual_seed(1)
    m = get_peft_model(base(), LoraConfig(task_type="CAUSAL_LM", init_lora_weights="eva", eva_config=EvaConfig(**settings), **options))
    initialize_lora_eva_weights(m, batches, show_progress_bar=False)
    tensors, ranks, scales = {}, {}, {}
    for n, module in m.named_modules():
        if hasattr(module, "lora_A") and len(module.lora_A):
            path = n.replace("base_model.model.", "", 1)
            a = module.lora_A["default"].weight
            tensors[f"{path}.a"] = a.detach().contiguous().clone()
            ranks[path], scales[path] = a.shape[0], module.scaling["default"]
    save_file(tensors, f"{OUT}/{name}.safetensors")
    cases[name] = {"ranks": ranks, "scales": scales}
    print(name, ranks)
json.dump({"batches": [{"inputIds": b["input_ids"].tolist(), "attentionMask": b["attention_mask"].tolist(),
                        "labels": b["labels"].tolist()} for b in batches], "cases": cases}, open(f"{OUT}/eva.json", "w"))
