"""Golden cases of further methods that PEFT has: C3A, RandLoRA, VB-LoRA, Uni-LoRA, PVeRA, TinyLoRA; NumPy's random integers.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/peft_shared_vectors.py [case ...]
Writes tests/oracles/golden/peft_shared_vectors/<case>.safetensors as reparam.py does (on the tiny Llama of llama_lora.py), and
tests/oracles/golden/peft_shared_vectors/<case>/ as peft_reparam_folders.py does (on the bases of peft_folders.py).
"""
import copy, json, os, shutil, sys, warnings
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from peft import C3AConfig, PveraConfig, RandLoraConfig, TinyLoraConfig, UniLoraConfig, VBLoRAConfig, get_peft_model, get_peft_model_state_dict
import peft.tuners.c3a.layer as c3a_layer
import peft.tuners.unilora.model as unilora_model

warnings.filterwarnings("ignore")
BALANCED = unilora_model.UniLoraModel.generate_index
GOLDEN = "tests/oracles/golden"
TIED, UNTIED, QWEN, GPT2 = "llama_lora/base", "peft_folders/bases/llama_untied", "peft_folders/bases/qwen2", "peft_folders/bases/gpt2"
QV, QVD = ["q_proj", "v_proj"], ["q_proj", "v_proj", "down_proj"]
NAMES = {
    "c3a_kernel": "kernel",
    "randlora_lambda": "lambda", "randlora_gamma": "gamma", "randlora_A": "frozen.a", "randlora_B": "frozen.b",
    "vblora_logits_A": "logitsA", "vblora_logits_B": "logitsB", "vblora_vector_bank": "bank",
    "unilora_theta_d": "theta",
    "tinylora_v": "v", "tinylora_A": "frozen.a", "tinylora_B": "frozen.b", "tinylora_P": "frozen.p",
    "pvera_lambda_b": "lambdaB", "pvera_lambda_d": "lambdaD", "pvera_A": "frozen.a", "pvera_B": "frozen.b",
}
METHODS = {
    "c3a": lambda: C3AConfig(block_size=4, block_size_pattern={"q_proj": 12}, target_modules=QVD),
    "randlora": lambda: RandLoraConfig(r=5, randlora_alpha=3, target_modules=QVD, projection_prng_key=3),
    "randlora_sparse": lambda: RandLoraConfig(r=11, randlora_alpha=2, target_modules=QVD, sparse=True),
    # All vectors are chosen, so that every logit has a gradient.
    "vb_lora": lambda: VBLoRAConfig(r=2, num_vectors=3, vector_length=4, topk=3, target_modules=QVD),
    "uni_lora": lambda: UniLoraConfig(r=2, theta_d_length=13, proj_seed=7, target_modules=QVD),
    "uni_lora_uniform": lambda: UniLoraConfig(r=3, theta_d_length=10, proj_seed=5, target_modules=QVD),
    "pvera": lambda: PveraConfig(r=5, projection_prng_key=3, target_modules=QVD),
    # Six layers, 2.4 vectors: two for three layers each.
    "tiny_lora": lambda: TinyLoraConfig(r=3, u=7, weight_tying=0.6, target_modules=QVD),
}
FOLDERS = {
    "c3a": (QWEN, lambda c: C3AConfig(block_size=2, block_size_pattern={"layers.0.self_attn.q_proj": 6},
                                      target_modules=["q_proj", "down_proj"], **c)),
    "c3a_bias": (QWEN, lambda c: C3AConfig(block_size=3, init_weights="gaussian", bias="c3a_only", target_modules=QV,
                                           layers_to_transform=[1], **c)),
    "randlora": (QWEN, lambda c: RandLoraConfig(r=5, randlora_alpha=9, target_modules=["q_proj", "down_proj"],
                                                randlora_dropout=0.25, bias="randlora_only", **c)),
    "randlora_unsaved": (GPT2, lambda c: RandLoraConfig(r=4, randlora_alpha=6, save_projection=False, projection_prng_key=7, **c)),
    "randlora_sparse": (TIED, lambda c: RandLoraConfig(r=6, very_sparse=True, save_projection=False, init_weights=False,
                                                       randlora_alpha=4, **c)),
    "vb_lora": (QWEN, lambda c: VBLoRAConfig(r=3, num_vectors=5, vector_length=2, vblora_dropout=0.25, bias="vblora_only",
                                             target_modules=["q_proj", "down_proj"], **c)),
    "vb_lora_gpt2": (GPT2, lambda c: VBLoRAConfig(num_vectors=7, vector_length=12, topk=1, init_logits_std=0.5,
                                                  exclude_modules=["h.0.attn.c_attn"], **c)),
    "uni_lora": (QWEN, lambda c: UniLoraConfig(r=3, theta_d_length=20, unilora_dropout=0.25, bias="unilora_only",
                                               target_modules=["q_proj", "down_proj"], layers_to_transform=[0, 1], **c)),
    "uni_lora_gpt2": (GPT2, lambda c: UniLoraConfig(theta_d_length=500, init_weights=False, proj_seed=3,
                                                    target_modules=["c_attn", "c_proj", "c_fc"], **c)),
    "pvera": (QWEN, lambda c: PveraConfig(r=4, pvera_dropout=0.25, bias="pvera_only", target_modules=["q_proj", "down_proj"], **c)),
    "pvera_gpt2": (GPT2, lambda c: PveraConfig(r=3, save_projection=False, projection_prng_key=7, d_initial=0.3, **c)),
    "tiny_lora": (QWEN, lambda c: TinyLoraConfig(u=5, weight_tying=0.3, tinylora_dropout=0.25, bias="tinylora_only",
                                                 target_modules=["q_proj", "v_proj", "down_proj"], **c)),
    # Eight layers, 2.5 vectors: Python rounds to 2.
    "tiny_lora_gpt2": (GPT2, lambda c: TinyLoraConfig(r=13, u=3, weight_tying=0.6875, save_projection=False, projection_seed=7,
                                                      init_weights="uniform", target_modules=["c_attn", "c_fc", "c_proj"], **c)),
}


class Circulant:
    """PEFT's own matrix, differentiated by torch. The gradient that PEFT 0.21 writes out for the input is another function's
    where blocks have more than two rows: sum_t g_t w_(j + t) in place of sum_t g_t w_(j - t)."""
    @staticmethod
    def apply(x, w):
        return x @ c3a_layer.get_circulant_fast(w).T


c3a_layer.BlockCircularConvolution = Circulant


def load(base):
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{base}", dtype=torch.float32, attn_implementation="eager")


def perturbed(m, seed, scale=0.2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in m.parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * scale)
    return m.eval()


def run(m, batch):
    ids, mask, wanted = (torch.tensor(batch[k]) for k in ["inputIds", "attentionMask", "labels"])
    out = m(input_ids=ids, attention_mask=mask, labels=wanted)
    return out.logits, out.loss


def named(m):
    """Parameters by name; one that layers share by the model's own, which is the shortest."""
    names = {}
    for n, p in m.named_parameters(remove_duplicate=False):
        if p not in names or len(n) < len(names[p]):
            names[p] = n
    return {n: p for p, n in names.items()}


def ours(name):
    parts = [p for p in name.removeprefix("base_model.model.").removeprefix("base_model.").split(".") if p != "default"]
    return ".".join(NAMES.get(part, part) for part in parts)


def flat(path, t):
    return t.flatten(1) if path == "frozen.a" else t


def each_by_itself(count, length, seed):
    """The paper's draws in place of PEFT's."""
    return torch.as_tensor(np.random.default_rng(seed).integers(0, length, count))


def method_case(name):
    batch = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
    torch.manual_seed(sum(map(ord, name)))
    unilora_model.UniLoraModel.generate_index = staticmethod(each_by_itself if "uniform" in name else BALANCED)
    m = perturbed(get_peft_model(load(TIED), METHODS[name]()), len(name))
    params = {ours(n): p for n, p in named(m).items() if p.requires_grad}
    frozen = {ours(n): p for n, p in m.named_buffers(remove_duplicate=False) if ".tinylora_" in n or n.split(".")[1] in NAMES}
    logits, loss = run(m, batch)
    grads = torch.autograd.grad(loss, list(params.values()))
    tensors = {"logits": logits, "loss": loss.reshape(1)}
    tensors |= {f"param.{path}": flat(path, p).float() for path, p in frozen.items()}
    for (path, p), g in zip(params.items(), grads):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.detach().clone(), g
    with torch.no_grad():
        tensors["merged"] = run(copy.deepcopy(m).merge_and_unload(), batch)[0]
    optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        run(m, batch)[1].backward()
        optimizer.step()
    for path, p in params.items():
        tensors[f"step.{path}"] = p
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_shared_vectors/{name}.safetensors")
    print("method", name, float(loss))


def folder_case(name):
    base, make = FOLDERS[name]
    batch = json.load(open(f"{GOLDEN}/peft_folders/batch.json"))
    torch.manual_seed(sum(map(ord, name)))
    m = perturbed(get_peft_model(load(base), make({"task_type": "CAUSAL_LM"})), 1)
    logits, loss = run(m, batch)
    loss.backward()
    expected = {"logits": logits.detach().contiguous(), "loss": loss.detach().reshape(1)}
    # The saver itself maps names to keys: it is given gradients in place of the parameters.
    parameters = named(m)
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None:
            expected["grad." + key] = gradient.contiguous()
    folder = f"{GOLDEN}/peft_shared_vectors/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    json.dump({"base": base}, open(f"{folder}/case.json", "w"))
    print("folder", name)


def numpy_random(seed):
    rng = np.random.default_rng(seed)
    below = [[n, rng.integers(0, n, 6).tolist()] for n in [1, 7, 3_000_000_000]]
    chosen = [[n, k, rng.choice(n, k, replace=False)[:20].tolist()] for n, k in [(20, 7), (5, 5), (10001, 400), (20000, 3)]]
    values = np.arange(30)
    rng.shuffle(values)
    return {"seed": seed, "below": below, "chosen": chosen, "shuffled": values.tolist()}


if len(sys.argv) == 1:
    json.dump([numpy_random(seed) for seed in [0, 42, 2**33 + 5]], open(f"{GOLDEN}/peft_shared_vectors/numpy_random.json", "w"))
for name in sys.argv[1:] or sorted({*METHODS, *FOLDERS}):
    if name in METHODS:
        method_case(name)
    if name in FOLDERS:
        folder_case(name)
