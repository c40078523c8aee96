"""Golden cases of BEFT, DEFT, PEANuT, Lily and PSOFT: on the tiny Llama of llama_lora.py, and adapter folders on the bases of peft_folders.py.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/peft_subspace.py [case ...]
PSOFT makes its basis anew at every load and writes none: folders of it have no meaning apart from LAPACK's signs.
Writes tests/oracles/golden/peft_subspace/<case>.safetensors in the form of reparam.py (parameters, logits, loss, gradients, merged
logits where it merges, three AdamW steps), and tests/oracles/golden/peft_subspace/<case>/ in the form of peft_folders.py.
"""
import copy, json, os, shutil, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from peft import BeftConfig, DeftConfig, LilyConfig, PeanutConfig, PsoftConfig, get_peft_model, get_peft_model_state_dict

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
TIED, UNTIED, QWEN, GPT2 = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2", "peft_folders/bases/gpt2"
QVD, QV = ["q_proj", "v_proj", "down_proj"], ["q_proj", "v_proj"]
NAMES = {"beft_bias": "shift", "deft_P": "p", "deft_R": "r", "peanut_A": "a", "peanut_B": "b",
         "lily_A": "a", "lily_B": "b", "lily_router": "router"}

# name: (config, how far parameters move from their start)
METHODS = {
    "deft": (DeftConfig(r=3, target_modules=QVD), 0.2),
    "deft_scaled": (DeftConfig(r=5, alpha=8, target_modules=QVD, init_weights=False), 0.2),
    "deft_qr": (DeftConfig(r=4, decomposition_method="qr", target_modules=QVD), 0.3),
    "para": (DeftConfig(r=4, decomposition_method="qr", para=True, target_modules=QVD), 0.3),
    "peanut": (PeanutConfig(r=5, scaling=0.7, target_modules=QVD), 0.2),
    "peanut_deep": (PeanutConfig(r=4, depth=2, act_fn="silu", target_modules=QVD), 0.4),
    "lily": (LilyConfig(r=5, num_B=3, scaling=1.5, target_modules=QVD), 0.3),
    "psoft": (PsoftConfig(r=5, psoft_alpha=7, target_modules=QVD), 0.2),
    "psoft_terms": (PsoftConfig(r=4, psoft_alpha=4, psoft_mag_a=False, use_cayley_neumann=True, num_cayley_neumann_terms=6,
                                target_modules=QVD), 0.2),
    "psoft_free": (PsoftConfig(r=3, psoft_orth=False, psoft_mag_a=False, psoft_mag_b=False, target_modules=QVD), 0.2),
    "lily_shared": (LilyConfig(r=4, stride_A=2, target_modules=QVD), 0.3),
}
# BEFT merges into biases that are there, which Llama has not.
FOLDERS = {
    "beft": (TIED, lambda c: BeftConfig(**c)),
    "beft_biases": (QWEN, lambda c: BeftConfig(target_modules=["q_proj", "v_proj", "down_proj"], **c)),
    "deft": (QWEN, lambda c: DeftConfig(r=3, alpha=5, deft_dropout=0.25, target_modules=QVD, bias="deft_only", **c)),
    "deft_gpt2": (GPT2, lambda c: DeftConfig(r=4, decomposition_method="qr", **c)),
    "deft_para": (UNTIED, lambda c: DeftConfig(r=4, para=True, decomposition_method="qr", layers_to_transform=[1],
                                               target_modules=["k_proj", "down_proj"], **c)),
    # More directions than outputs: PEFT takes as many as there are.
    "deft_square": (UNTIED, lambda c: DeftConfig(r=40, alpha=30, decomposition_method="qr", target_modules=["v_proj"], **c)),
    "peanut": (TIED, lambda c: PeanutConfig(r=4, scaling=0.5, target_modules=QV,
                                            exclude_modules=["layers.0.self_attn.q_proj"], **c)),
    "peanut_deep": (QWEN, lambda c: PeanutConfig(r=3, depth=3, act_fn="gelu_new", init_weights=False, target_modules=QVD,
                                                 **c)),
    "lily": (QWEN, lambda c: LilyConfig(r=3, num_B=4, stride_A=2, scaling=0.5, target_modules=QVD, **c)),
    # A pattern makes all layers of one shape share.
    "lily_pattern": (TIED, lambda c: LilyConfig(r=4, stride_A=3, init_weights=False,
                                                target_modules=r".*\.[qko]_proj", **c)),
}


def ours(name, free=False):
    parts = [p for p in name.removeprefix("base_model.model.").split(".") if p != "default"]
    if "psoft_R" in parts:
        return ".".join([*parts[:-2], {"weight": "r" if free else "q", "vector_a": "before", "vector_b": "after"}[parts[-1]]])
    if parts[-1] == "weight":
        parts.pop()
    at = next(i for i, p in enumerate(parts) if p.split("_")[0] in ["beft", "deft", "peanut", "lily"])
    inner = parts[at].removeprefix("peanut_") if parts[at].endswith("coders") else NAMES[parts[at]]
    return ".".join([*parts[:at], inner, *parts[at + 1:]])


def moved(m, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in m.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * scale)
    return m.eval()


def method_case(name):
    config, scale = METHODS[name]
    batch = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
    ids, mask, labels = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
    run = lambda m: m(input_ids=ids, attention_mask=mask, labels=labels)
    torch.manual_seed(sum(map(ord, name)))
    base = LlamaForCausalLM.from_pretrained(f"{GOLDEN}/{TIED}", dtype=torch.float32, attn_implementation="eager")
    m = moved(get_peft_model(base, config), scale, len(name))
    params = {ours(n, name == "psoft_free"): p for n, p in m.named_parameters() if p.requires_grad}
    out = run(m)
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    for (path, p), g in zip(params.items(), torch.autograd.grad(out.loss, list(params.values()))):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
    for n, module in m.named_modules():
        if name.startswith("psoft") and hasattr(module, "_psoft_A_cache"):
            tensors[f"param.{n.removeprefix('base_model.model.')}.frozen.v"] = module._psoft_A_cache["default"]
    with torch.no_grad():
        if not name.startswith("lily"):
            tensors["merged"] = run(copy.deepcopy(m).merge_and_unload()).logits
    optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        run(m).loss.backward()
        optimizer.step()
    for path, p in params.items():
        tensors[f"step.{path}"] = p
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_subspace/{name}.safetensors")
    print(name, float(out.loss))


def folder_case(name):
    which, make = FOLDERS[name]
    batch = json.load(open(f"{GOLDEN}/peft_folders/batch.json"))
    ids, mask, labels = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
    torch.manual_seed(sum(map(ord, name)))
    base = AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32, attn_implementation="eager")
    m = moved(get_peft_model(base, make({"task_type": "CAUSAL_LM"})), 0.2, 1)
    out = m(input_ids=ids, attention_mask=mask, labels=labels)
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    # The saver itself maps names to keys: it is given gradients in place of the parameters.
    parameters = dict(m.named_parameters())
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None:
            expected["grad." + key] = gradient.contiguous()
    folder = f"{GOLDEN}/peft_subspace/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    json.dump({"base": which}, open(f"{folder}/case.json", "w"))
    print("folder", name)


wanted = sys.argv[1:]
for name in METHODS:
    if not wanted or name in wanted:
        method_case(name)
for name in FOLDERS:
    if not wanted or name in wanted:
        folder_case(name)
