"""Golden cases of Poly, GLoRA and OSF as HF PEFT has them.

Made by transformers 4.57 and peft 0.21 on CPU in float32, on the bases of peft_folders.py and llama_lora.py. Run from the
repository root:
    python tests/oracles/peft_skills.py [case ...]
Writes folders tests/oracles/golden/peft_skills/<case>/ in the form of peft_reparam_folders.py, and
tests/oracles/golden/peft_skills/<case>.safetensors in the form of reparam.py, with `merged` where PEFT merges the method.
"""
import copy, json, os, shutil, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import GloraConfig, OSFConfig, PolyConfig, get_peft_model, get_peft_model_state_dict

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
TINY, UNTIED, QWEN = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2"
QVD, CAUSAL = ["q_proj", "v_proj", "down_proj"], {"task_type": "CAUSAL_LM"}
FOLDERS = {  # name -> base, config, the rows' tasks
    "poly": (TINY, PolyConfig(r=3, n_skills=3, target_modules=["q_proj", "v_proj"], **CAUSAL), [0, 0, 0]),
    "poly_tasks": (UNTIED, PolyConfig(r=2, n_tasks=3, n_skills=2, n_splits=2, target_modules=["q_proj", "down_proj"],
                                      exclude_modules=["layers.0.self_attn.q_proj"], **CAUSAL), [2, 0, 1]),
    "glora": (QWEN, GloraConfig(r=3, target_modules=["q_proj", "down_proj"], **CAUSAL), None),
    "glora_vectors": (QWEN, GloraConfig(config_A_B="vector", config_C="vector", config_D_E="vector", bias="all",
                                        target_modules=["q_proj", "v_proj"], **CAUSAL), None),
    "glora_constants": (QWEN, GloraConfig(config_A_B="constant", config_C="none", config_D_E="constant", init_weights=False,
                                          target_modules=["k_proj", "up_proj"], **CAUSAL), None),
    "osf": (TINY, OSFConfig(target_modules=QVD, **CAUSAL), None),
    "osf_share": (QWEN, OSFConfig(effective_rank=0.3, target_modules=["q_proj", "k_proj", "up_proj"], **CAUSAL), None),
}
METHODS = {
    "poly_skills": (PolyConfig(r=3, n_skills=3, n_splits=1, target_modules=QVD, **CAUSAL), [0, 0]),
    "osf_triples": (OSFConfig(effective_rank=5, target_modules=QVD, **CAUSAL), None),
    "glora_matrices": (GloraConfig(r=3, target_modules=QVD, **CAUSAL), None),
}
NAMES = {"osf_svd_params.U_low": "u", "osf_svd_params.S_low": "s", "osf_svd_params.V_low": "v", "poly_lora_A": "a", "poly_lora_B": "b", "poly_router.module_logits": "logits",
         **{f"glora_{p}.{x}": f"{p.lower()}.{y}" for p in "ABCDE" for x, y in [("Xd", "down"), ("Xu", "up"), ("X", "x")]}}


def load(which):
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32, attn_implementation="eager")


def made(name, which, config, scale):
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(load(which), config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * scale)
    return m.eval()


def run(m, batch, tasks, labels=True):
    given = {"input_ids": batch["inputIds"], "attention_mask": batch["attentionMask"], **({"labels": batch["labels"]} if labels else {})}
    more = {} if tasks is None else {"task_ids": torch.tensor(tasks[:len(batch["inputIds"])])}
    return m(**{k: torch.tensor(v) for k, v in given.items()}, **more)


def folder(name):
    which, config, tasks = FOLDERS[name]
    m = made(name, which, config, 0.2)
    out = run(m, json.load(open(f"{GOLDEN}/peft_folders/batch.json")), tasks)
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    parameters = dict(m.named_parameters())
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None:
            expected["grad." + key] = gradient.contiguous()
    path = f"{GOLDEN}/peft_skills/{name}"
    shutil.rmtree(path, ignore_errors=True)
    m.save_pretrained(path)
    save_file(expected, f"{path}/expected.safetensors")
    os.remove(f"{path}/README.md")
    json.dump({"base": which}, open(f"{path}/case.json", "w"))
    print(name, {k: list(v.shape) for k, v in expected.items()}, open(f"{path}/adapter_config.json").read().replace("\n", ""))


def ours(name):
    path = name.removeprefix("base_model.model.").replace(".default", "")
    theirs = next(n for n in NAMES if path.endswith("." + n))
    return path.removesuffix(theirs) + NAMES[theirs]


STARTS = {"_osf_U_low_init": "u", "_osf_S_low_init": "s", "_osf_V_low_init": "v", "_osf_U_high": "high.u", "_osf_V_high": "high.v"}


def starts(m):
    """Where OSF's vectors began, by our paths."""
    return {f"{path}.frozen.{ours}": getattr(layer, theirs)["default"] for path, layer in m.get_base_model().named_modules()
            for theirs, ours in STARTS.items() if "default" in getattr(layer, theirs, {})}


def method(name):
    config, tasks = METHODS[name]
    batch = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
    m = made(name, TINY, config, 0.2)
    params = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    out = run(m, batch, tasks)
    out.loss.backward()
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1), **{f"param.{k}": v for k, v in starts(m).items()}}
    for path, p in params.items():
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), p.grad.clone()
    if tasks is None:
        with torch.no_grad():
            tensors["merged"] = run(copy.deepcopy(m).merge_and_unload(), batch, None).logits
    optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        run(m, batch, tasks).loss.backward()
        optimizer.step()
    for path, p in params.items():
        tensors[f"step.{path}"] = p
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_skills/{name}.safetensors")
    print(name, float(out.loss))


for wanted in sys.argv[1:] or [*FOLDERS, *METHODS]:
    folder(wanted) if wanted in FOLDERS else method(wanted)
