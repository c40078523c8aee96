"""Golden cases and folders of RoAd, DeLoRA, HiRA, SHiRA, GraLoRA and WaveFT.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/peft_updates.py [case ...]
On the tiny Llama of llama_lora.py it writes tests/oracles/golden/peft_updates/<case>.safetensors in the form of reparam.py: `param.`,
`grad.` and `step.<our path>` (after three AdamW steps at 1e-2 with decay 0.01), logits, loss and the merged model's logits. On
the bases of peft_folders.py it writes tests/oracles/golden/peft_updates/<case>/ in the form of peft_folders.py.
"""
import copy, json, os, shutil, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import (DeloraConfig, GraloraConfig, HiraConfig, RoadConfig, ShiraConfig, WaveFTConfig, get_peft_model,
                  get_peft_model_state_dict)

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
QV, QVD = ["q_proj", "v_proj"], ["q_proj", "v_proj", "down_proj"]
TIED, UNTIED, QWEN, GPT2 = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2", "peft_folders/bases/gpt2"
NAMES = {
    "road_theta": "theta", "road_alpha": "alpha", "hira_A": "a", "hira_B": "b", "shira_weight": "values",
    "delora_A": "a", "delora_B": "b", "delora_lambda": "lambda", "delora_w_norm": "frozen.norms",
    "gralora_A": "a", "gralora_B": "b", "gralora_A_general": "generalA", "gralora_B_general": "generalB",
    "waveft_spectrum": "spectrum",
}
METHODS = {
    "road": lambda: RoadConfig(group_size=4, target_modules=QVD),
    "road_2": lambda: RoadConfig(variant="road_2", group_size=2, target_modules=QVD),
    "road_4": lambda: RoadConfig(variant="road_4", group_size=6, target_modules=QVD),
    "delora": lambda: DeloraConfig(r=3, delora_lambda=5, target_modules=QVD),
    "delora_patterns": lambda: DeloraConfig(r=4, target_modules=QVD, rank_pattern={"down_proj": 5},
                                            lambda_pattern={"layers.1.self_attn.v_proj": 2}),
    "hira": lambda: HiraConfig(r=3, target_modules=QVD),
    "shira": lambda: ShiraConfig(r=2, random_seed=5, target_modules=QVD),
    "shira_unseeded": lambda: ShiraConfig(r=3, target_modules=QVD),
    "gralora": lambda: GraloraConfig(r=6, alpha=5, target_modules=QVD),
    "gralora_hybrid": lambda: GraloraConfig(r=4, gralora_k=4, hybrid_r=3, alpha=9, target_modules=QVD),
    "waveft": lambda: WaveFTConfig(n_frequency=13, scaling=12.0, target_modules=QVD),
    "waveft_db2": lambda: WaveFTConfig(n_frequency=60, wavelet_family="db2", random_loc_seed=5, target_modules=QVD),
    "waveft_db3": lambda: WaveFTConfig(n_frequency=60, wavelet_family="db3", target_modules=QVD),
    "waveft_coif1": lambda: WaveFTConfig(n_frequency=60, wavelet_family="coif1", target_modules=QVD),
    "waveft_none": lambda: WaveFTConfig(n_frequency=30, use_idwt=False, target_modules=QVD),
    "waveft_proportional": lambda: WaveFTConfig(n_frequency=23, proportional_parameters=True, target_modules=QVD),
}
FOLDERS = {
    # Qwen2 has biases on q, k and v, which RoAd turns too.
    "road": (QWEN, lambda c: RoadConfig(group_size=6, target_modules=["q_proj", "k_proj"], **c)),
    "road_4": (UNTIED, lambda c: RoadConfig(variant="road_4", group_size=2, modules_to_save=["lm_head"], **c)),
    "delora": (QWEN, lambda c: DeloraConfig(r=3, module_dropout=0.25, layers_to_transform=[1], **c)),
    "delora_bias": (QWEN, lambda c: DeloraConfig(r=2, delora_lambda=4, target_modules=["q_proj", "down_proj"], bias="delora_only",
                                                 rank_pattern={"down_proj": 3}, lambda_pattern={"q_proj": 7}, **c)),
    # PEFT records the pattern and does not follow it.
    "hira": (QWEN, lambda c: HiraConfig(r=3, hira_dropout=0.25, rank_pattern={"v_proj": 2}, **c)),
    "hira_embedding": (UNTIED, lambda c: HiraConfig(r=2, target_modules=["embed_tokens", "up_proj"], init_weights="gaussian", **c)),
    "hira_gpt2": (GPT2, lambda c: HiraConfig(r=2, **c)),
    "shira": (QWEN, lambda c: ShiraConfig(r=2, random_seed=3, **c)),
    "shira_unseeded": (UNTIED, lambda c: ShiraConfig(r=1, target_modules=["q_proj", "down_proj"], modules_to_save=["lm_head"], **c)),
    "gralora": (QWEN, lambda c: GraloraConfig(r=4, alpha=6, bias="all", gralora_dropout=0.25, **c)),
    "gralora_gpt2": (GPT2, lambda c: GraloraConfig(r=6, gralora_k=3, hybrid_r=2, alpha=7, **c)),
    "waveft": (QWEN, lambda c: WaveFTConfig(n_frequency=9, n_frequency_pattern={"v_proj": 5}, bias="waveft_only", **c)),
    "waveft_gpt2": (GPT2, lambda c: WaveFTConfig(n_frequency=11, wavelet_family="coif1", proportional_parameters=True,
                                                 target_modules=["c_attn", "mlp.c_proj", "mlp.c_fc"], **c)),
    # An odd number of outputs.
    "waveft_odd": (UNTIED, lambda c: WaveFTConfig(n_frequency=40, wavelet_family="db2", target_modules=["lm_head"], **c)),
    "waveft_odd_haar": (UNTIED, lambda c: WaveFTConfig(n_frequency=40, random_loc_seed=1, target_modules=["lm_head", "k_proj"], **c)),
    "waveft_none": (GPT2, lambda c: WaveFTConfig(n_frequency=11, use_idwt=False, **c)),
}


def base(which):
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32, attn_implementation="eager")


def batch(path):
    given = json.load(open(f"{GOLDEN}/{path}"))
    return dict(input_ids=torch.tensor(given["inputIds"]), attention_mask=torch.tensor(given["attentionMask"]),
                labels=torch.tensor(given["labels"]))


def ours(name):
    parts = [p for p in name.removeprefix("base_model.model.").split(".") if p not in ["default", "weight"]]
    return ".".join([*parts[:-1], NAMES[parts[-1]]])


def move(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)
    return model.eval()


def method_case(name):
    torch.manual_seed(sum(map(ord, name)))
    given = batch("llama_lora/batch.json")
    m = move(get_peft_model(base(TIED), METHODS[name]()), len(name))
    params = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    frozen = {ours(n): p for n, p in m.named_buffers() if "delora_w_norm" in n}
    frozen |= {f"{n.removeprefix('base_model.model.')}.frozen.positions": module.shira_indices["default"]
               for n, module in m.named_modules() if hasattr(module, "shira_indices")}
    out = m(**given)
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    for (path, p), g in zip(params.items(), torch.autograd.grad(out.loss, list(params.values()))):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
    tensors.update({f"param.{path}": p for path, p in frozen.items()})
    with torch.no_grad():
        tensors["merged"] = copy.deepcopy(m).merge_and_unload()(**given).logits
    optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        m(**given).loss.backward()
        optimizer.step()
    tensors.update({f"step.{path}": p for path, p in params.items()})
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_updates/{name}.safetensors")
    print(name, float(out.loss))


def folder_case(name):
    which, make = FOLDERS[name]
    torch.manual_seed(sum(map(ord, name)))
    m = move(get_peft_model(base(which), make({"task_type": "CAUSAL_LM"})), 1)
    folder = f"{GOLDEN}/peft_updates/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    out = m(**batch("peft_folders/batch.json"))
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    # The saver itself maps names to keys: it is given gradients in place of the parameters.
    parameters = dict(m.named_parameters())
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None and ".modules_to_save." not in key and not key.endswith("shira_indices"):
            expected["grad." + key] = gradient.contiguous()
    m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    json.dump({"base": which}, open(f"{folder}/case.json", "w"))
    print(f"folder {name}")


for wanted in sys.argv[1:] or METHODS:
    if wanted in METHODS:
        method_case(wanted)
for wanted in sys.argv[1:] or FOLDERS:
    if wanted in FOLDERS:
        folder_case(wanted)
