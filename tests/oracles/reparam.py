"""Golden cases of the reparametrised methods on the tiny Llama of llama_lora.py: LoHa, LoKr, KronA, VeRA, HRA, MiSS, OFT,
BOFT, FourierFT; LyCORIS's weights; the Fastfood transform; torch's random numbers.

Made by transformers 4.57, peft 0.21 and lycoris-lora 4.1 on CPU in float32; KronA and Fastfood, which no library offers, are
literal transcriptions of their equations. Run from the repository root:
    python tests/oracles/reparam.py
Writes tests/oracles/golden/reparam/<case>.safetensors with `param.<our path>`, `grad.<our path>`, logits, loss, `merged`
(logits of the merged model) and `step.<our path>` (parameters after three AdamW steps at 1e-2 with decay 0.01); and beside
them what belongs to no model: convolutions' updates, Fastfood, inverses, random numbers.
"""
import copy, json, math, os
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import (BOFTConfig, FourierFTConfig, HRAConfig, LoHaConfig, LoKrConfig, MissConfig, OFTConfig, VeraConfig,
                  get_peft_model)
from lycoris.functional import loha as lyco_loha, lokr as lyco_lokr
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
import peft.tuners.boft.layer as boft_layer

OUT = "tests/oracles/golden/reparam"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open("tests/oracles/golden/llama_lora/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
QVD = ["q_proj", "v_proj", "down_proj"]
NAMES = {
    "hada_w1_a": "w1a", "hada_w1_b": "w1b", "hada_w2_a": "w2a", "hada_w2_b": "w2b",
    "lokr_w1_a": "w1a", "lokr_w1_b": "w1b", "lokr_w2_a": "w2a", "lokr_w2_b": "w2b", "lokr_w1": "w1", "lokr_w2": "w2",
    "vera_lambda_b": "lambdaB", "vera_lambda_d": "lambdaD", "vera_A": "frozen.a", "vera_B": "frozen.b",
    "hra_u": "u", "miss_block": "block", "oft_R": "q", "boft_R": "r", "boft_s": "s", "fourierft_spectrum": "spectrum",
}


def base():
    return LlamaForCausalLM.from_pretrained("tests/oracles/golden/llama_lora/base", dtype=torch.float32,
                                            attn_implementation="eager")


def ours(name):
    parts = [p for p in name.removeprefix("base_model.model.").removeprefix("base_model.").split(".")
             if p not in ["default"]]
    last = parts.pop() if parts[-1] != "weight" else (parts.pop(), parts.pop())[1]
    return ".".join([*parts, NAMES[last]])


def run(model):
    out = model(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    return out.logits, out.loss


def flat(path, t):
    return t.reshape(-1) if path.endswith(".s") else t


def case(name, model, params, merged, frozen={}, scale=0.2, settle=lambda: None):
    """`params`: our path -> leaf. `merged`: a function from the model to a plain one. `settle`: before values are taken."""
    generator = torch.Generator().manual_seed(len(name))
    with torch.no_grad():
        for p in params.values():
            p.add_(torch.randn(p.shape, generator=generator) * scale)
    model.eval()
    settle()
    logits, loss = run(model)
    grads = torch.autograd.grad(loss, list(params.values()))
    tensors = {"logits": logits, "loss": loss.reshape(1)}
    for (path, p), g in zip(params.items(), grads):
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = flat(path, p).detach().clone(), flat(path, g)
    for path, p in frozen.items():
        tensors[f"param.{path}"] = p
    with torch.no_grad():
        tensors["merged"] = run(merged(copy.deepcopy(model)))[0]
    optimizer = torch.optim.AdamW(list(params.values()), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        run(model)[1].backward()
        optimizer.step()
    settle()
    for path, p in params.items():
        tensors[f"step.{path}"] = flat(path, p)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{name}.safetensors")
    print(name, float(loss))


def peft_case(name, config, scale=0.2, settled=False):
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(base(), config)
    params = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    frozen = {ours(n): p for n, p in m.named_buffers(remove_duplicate=False) if n.startswith("base_model.vera_")}
    case(name, m, params, lambda m: m.merge_and_unload(), frozen, scale, (lambda: run(m)) if settled else (lambda: None))


peft_case("loha", LoHaConfig(r=3, alpha=5, target_modules=QVD))
peft_case("loha_patterns", LoHaConfig(r=2, alpha=2, target_modules=QVD, rank_pattern={"down_proj": 4},
                                      alpha_pattern={"layers.1.self_attn.v_proj": 7}))
peft_case("lokr", LoKrConfig(r=2, alpha=3, target_modules=QVD))
peft_case("lokr_full", LoKrConfig(r=8, alpha=4, target_modules=QVD))
peft_case("lokr_edge", LoKrConfig(r=3, alpha=3, target_modules=QVD))  # half of 6 but less than half of 7
peft_case("lokr_both", LoKrConfig(r=1, alpha=3, target_modules=QVD, decompose_both=True, decompose_factor=5))
peft_case("vera", VeraConfig(r=5, target_modules=QVD, projection_prng_key=3))
peft_case("hra", HRAConfig(r=4, target_modules=QVD))
peft_case("hra_exact", HRAConfig(r=3, target_modules=QVD, apply_GS=True))
peft_case("miss", MissConfig(r=5, target_modules=QVD))
peft_case("miss_mini", MissConfig(r=4, target_modules=QVD, init_weights="mini", mini_r=6))
peft_case("miss_bat", MissConfig(r=4, target_modules=QVD, init_weights="bat"))
peft_case("oft", OFTConfig(oft_block_size=4, target_modules=QVD))
peft_case("oft_terms", OFTConfig(oft_block_size=4, target_modules=QVD, num_cayley_neumann_terms=7))
peft_case("oft_three_terms", OFTConfig(oft_block_size=4, target_modules=QVD, num_cayley_neumann_terms=3))
peft_case("oft_two_terms", OFTConfig(oft_block_size=4, target_modules=QVD, num_cayley_neumann_terms=2))
peft_case("oft_exact", OFTConfig(oft_block_size=0, r=4, target_modules=QVD, use_cayley_neumann=False, block_share=True))
peft_case("oft_constrained", OFTConfig(oft_block_size=4, target_modules=QVD, coft=True, eps=0.3), settled=True)
peft_case("oft_nearest", OFTConfig(oft_block_size=5, target_modules=QVD))
peft_case("boft", BOFTConfig(boft_block_size=4, target_modules=QVD))
peft_case("fourierft", FourierFTConfig(n_frequency=13, target_modules=QVD, scaling=40.0))
peft_case("fourierft_many", FourierFTConfig(n_frequency=200, target_modules=QVD, random_loc_seed=5, scaling=9.0))

# PEFT runs several butterfly factors only where its CUDA kernel was built, which makes block-diagonal matrices and no more.
class BlockDiagonals:
    @staticmethod
    def apply(blocks):
        return torch.stack([torch.block_diag(*torch.unbind(b)) for b in blocks])


boft_layer.get_fbd_cuda = lambda: True
boft_layer.FastBlockDiag = BlockDiagonals
peft_case("boft_two", BOFTConfig(boft_block_size=2, boft_n_butterfly_factor=2, target_modules=QVD))
peft_case("boft_three", BOFTConfig(boft_block_size=0, boft_block_num=4, boft_n_butterfly_factor=3,
                                   target_modules=["q_proj", "v_proj", "o_proj"]))


def linears(model, targets):
    return {n: m for n, m in model.named_modules() if n.split(".")[-1] in targets}


def lycoris_case(name, make):
    torch.manual_seed(sum(map(ord, name)))
    m = base()
    for p in m.parameters():
        p.requires_grad_(False)
    modules, params = {}, {}
    for path, linear in linears(m, QVD).items():
        modules[path] = make(linear)
        modules[path].apply_to()
        for n, p in modules[path].named_parameters():
            if n in NAMES:
                params[f"{path}.{NAMES[n]}"] = p
    # Not its merge_to: get_diff_weight of 4.1.3 multiplies by alpha / r what get_weight has already scaled.
    weights = {path: lambda module=module: module.get_weight(None) for path, module in modules.items()}

    def merged(_):
        plain = base()
        for path, linear in linears(plain, QVD).items():
            linear.weight.data += weights[path]().reshape(linear.weight.shape)
        return plain

    case(name, m, params, merged)


def no_copy(f):
    """LyCORIS binds forward functions, which a deep copy would leave behind."""
    global copy
    class Same:
        deepcopy = staticmethod(lambda x: x)
    kept, copy = copy, Same
    try:
        f()
    finally:
        copy = kept


no_copy(lambda: lycoris_case("loha_lycoris", lambda l: LohaModule("x", l, 1.0, 3, 1)))
no_copy(lambda: lycoris_case("lokr_lycoris", lambda l: LokrModule("x", l, 1.0, 2, 1, factor=4)))
no_copy(lambda: lycoris_case("lokr_lycoris_full", lambda l: LokrModule("x", l, 1.0, 8, 3)))


def krona_case(name, shapes, s):
    torch.manual_seed(sum(map(ord, name)))
    m = base()
    for p in m.parameters():
        p.requires_grad_(False)
    params, maps = {}, {}
    for path, linear in linears(m, ["q_proj", "v_proj"]).items():
        n, k = linear.weight.shape
        o1, i1 = shapes[n]
        a, b = torch.randn(o1, i1).mul(0.3).requires_grad_(), torch.randn(n // o1, k // i1).mul(0.3).requires_grad_()
        params[f"{path}.a"], params[f"{path}.b"] = a, b
        maps[path] = lambda a=a, b=b: s * torch.kron(a, b)
        linear.forward = lambda x, w=linear.weight, path=path: F.linear(x, w + maps[path]())

    def merged(_):
        plain = base()
        for path, linear in linears(plain, ["q_proj", "v_proj"]).items():
            linear.weight.data += maps[path]()
        return plain

    case(name, m, params, merged)


no_copy(lambda: krona_case("krona", {24: (3, 2), 12: (3, 2)}, 1.5))


def pure(name, tensors):
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{name}.safetensors")


# Weights of LyCORIS's convolutions, with and without a Tucker core.
torch.manual_seed(5)
O, I, R, K1, K2 = 6, 4, 2, 3, 2
n = torch.randn
t = {"w1b": n(R, I), "w1a": n(R, O), "w2b": n(R, I), "w2a": n(R, O), "t1": n(R, R, K1, K2), "t2": n(R, R, K1, K2)}
pure("loha_tucker", {**t, "weight": lyco_loha.diff_weight(t["w1b"], t["w1a"], t["w2b"], t["w2a"], t["t1"], t["t2"],
                                                         gamma=torch.tensor(0.7))})
t = {"w1b": n(R, I, K1, K2), "w1a": n(O, R), "w2b": n(R, I, K1, K2), "w2a": n(O, R)}
pure("loha_convolution", {**t, "weight": lyco_loha.diff_weight(t["w1b"], t["w1a"], t["w2b"], t["w2a"], None, None,
                                                              gamma=torch.tensor(0.7))})
t = {"w1": n(2, 2), "w2": n(3, 2, K1, K2)}
# The functional form scales by gamma / w?a.shape[1]: by 1 where both are full, by the output's size, not r, under Tucker.
pure("lokr_convolution", {**t, "weight": lyco_lokr.diff_weight(t["w1"], None, None, t["w2"], None, None, None,
                                                              gamma=0.7)})
t = {"w1": n(2, 2), "w2a": n(R, 3), "w2b": n(R, 2), "t2": n(R, R, K1, K2)}
pure("lokr_tucker", {**t, "weight": lyco_lokr.diff_weight(t["w1"], None, None, None, t["w2a"], t["w2b"], t["t2"],
                                                         gamma=0.7 * 3)})
t = {"w1a": n(2, R), "w1b": n(R, 2), "w2a": n(3, R), "w2b": n(R, 2, K1, K2)}
pure("lokr_split_convolution", {**t, "weight": lyco_lokr.diff_weight(None, t["w1a"], t["w1b"], None, t["w2a"], t["w2b"],
                                                                    None, gamma=0.7 * R)})


# Fastfood, transcribed: P v = first D of H G Pi H B pad(v) / (sqrt(K sum G^2) sqrt(D / K)), in float64.
def hadamard(k):
    h = torch.ones(1, 1, dtype=torch.float64)
    while h.shape[0] < k:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0)
    return h


def fastfood(v, signs, permutation, gaussian, size):
    k = signs.shape[0]
    x = F.pad(v, (0, k - v.shape[0])) * signs
    x = (hadamard(k) @ x)[permutation] * gaussian
    x = hadamard(k) @ x
    return x[:size] / (torch.sqrt(k * (gaussian ** 2).sum()) * math.sqrt(size / k))


for name, d, size in [("fastfood", 9, 100), ("fastfood_small", 20, 13)]:
    k = 2 ** math.ceil(math.log2(size))
    v = n(d, dtype=torch.float64).requires_grad_()
    signs = (torch.randint(0, 2, (k,)) * 2 - 1).double()
    permutation, gaussian, seed = torch.randperm(k), n(k, dtype=torch.float64), n(size, dtype=torch.float64)
    y = fastfood(v, signs, permutation, gaussian, size)
    (grad,) = torch.autograd.grad((y * seed).sum(), v)
    pure(name, {key: value.float() for key, value in dict(v=v, signs=signs, permutation=permutation, gaussian=gaussian,
                                                         seed=seed, y=y, grad=grad).items()})

# Pairs of factors: PEFT's and LyCORIS's, which differ in order.
from lycoris.functional.general import factorization as lyco_pair
from peft.tuners.lokr.layer import factorization as peft_pair

json.dump([[n_, f, *peft_pair(n_, f), *lyco_pair(n_, f)] for n_ in [*range(1, 50), 64, 97, 128, 360, 768, 11008]
           for f in [-1, 1, 2, 3, 4, 5, 8, 16, 33]], open(f"{OUT}/factor_pairs.json", "w"))

# torch's own random numbers
g = lambda seed: torch.Generator().manual_seed(seed)
pure("torch_random", {
    "uniform": torch.empty(700).uniform_(-0.3, 0.7, generator=g(11)),
    **{f"randperm.{seed}.{size}": torch.randperm(size, generator=g(seed))[:40].float()
       for seed, size in [(777, 1000), (0, 40), (5, 3_000_000), (2**31 + 7, 41)]},
})
# Inverses of I + skew, and the derivative of their sum of squares
q = n(3, 7, 7, dtype=torch.float64)
x = (torch.eye(7, dtype=torch.float64) + q - q.transpose(1, 2)).requires_grad_()
y = torch.linalg.inv(x)
(grad,) = torch.autograd.grad((y ** 2).sum(), x)
pure("inverse", {"x": x.float(), "y": y.float(), "grad": grad.float()})
