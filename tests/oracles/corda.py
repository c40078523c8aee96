"""Golden cases of CorDA on the tiny Llama of llama_lora.py, by PEFT: both modes, and the folder that PEFT converts to plain LoRA.

PEFT looks at one text at a time, without padding: so do these, though the batches of batches.json are padded. W C is
decomposed and C inverted in float64: in float32 the inverse makes 1e-5 of W of V's last digits, which is PEFT's own error and not
to be copied. Signs are fixed as in prepared_lora.py. Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/corda.py
Writes tests/oracles/golden/corda/<case>.safetensors as prepared_lora.py does, batches.json, and corda_converted/: a trained
adapter as saved with path_initial_model_for_weight_conversion, and logits.safetensors, what it computes before.
"""
import copy, inspect, json, os, shutil, tempfile
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora import corda as peft_corda

GOLDEN = "tests/oracles/golden"
OUT = f"{GOLDEN}/corda"
os.makedirs(OUT, exist_ok=True)
BATCH = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
TARGETS, R, ALPHA = ["q_proj", "v_proj", "down_proj"], 3, 5
CASES = {"corda": "ipm", "corda_knowledge": "kpm"}


source = inspect.getsource(peft_corda.collect_eigens_for_layer)
exec(source.replace(".float()", ".double()").replace("torch.eye(covariance_matrix.size(0))", "torch.eye(covariance_matrix.size(0)).double()"),
     vars(peft_corda))


def base():
    return LlamaForCausalLM.from_pretrained(f"{GOLDEN}/llama_lora/base", dtype=torch.float32, attn_implementation="eager").eval()


def run(m):
    ids, mask, wanted = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
    return m(input_ids=ids, attention_mask=mask, labels=wanted)


def ours(name):
    name = name.replace("base_model.model.", "", 1)
    return name.replace("lora_A.default.weight", "a").replace("lora_B.default.weight", "b")


def prepared(mode):
    m = base()
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=TARGETS, r=R, lora_alpha=ALPHA, init_lora_weights="corda",
                        corda_config=CordaConfig(corda_method=mode))

    def texts():
        for batch in batches:
            for ids, mask in zip(batch["inputIds"], batch["attentionMask"]):
                m(torch.tensor([[x for x, on in zip(ids, mask) if on]]))

    peft_corda.preprocess_corda(m, config, run_model=texts)
    m = get_peft_model(m, config).float().eval()
    with torch.no_grad():
        for module in m.modules():
            if hasattr(module, "lora_A") and len(module.lora_A):
                a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
                signs = torch.sign(b[b.abs().argmax(0), torch.arange(b.shape[1])])
                a.mul_(signs[:, None])
                b.mul_(signs)
    return m


shifted = [[(7 * x + 3) % 30 for x in row] for row in BATCH["inputIds"]]
batches = [{k: BATCH[k] for k in ["inputIds", "attentionMask"]}, {"inputIds": shifted, "attentionMask": BATCH["attentionMask"]}]
json.dump(batches, open(f"{OUT}/batches.json", "w"))

for case, mode in CASES.items():
    m = prepared(mode)
    start = tempfile.mkdtemp()
    if case == "corda":
        m.peft_config["default"].init_lora_weights = True  # as PEFT's documents say, before the start is saved
        m.save_pretrained(start)
        m.peft_config["default"].init_lora_weights = "corda"
    trained = {ours(n): p for n, p in m.named_parameters() if p.requires_grad}
    tensors = {f"init.{n}": p.detach().clone() for n, p in trained.items()}
    tensors["logits0"] = run(m).logits
    torch.manual_seed(11)
    with torch.no_grad():
        for p in trained.values():
            p.add_(torch.randn_like(p) * 0.1)
    tensors |= {f"param.{n}": p.detach().clone() for n, p in trained.items()}
    out = run(m)
    tensors |= {"logits": out.logits, "loss": out.loss.reshape(1)}
    out.loss.backward()
    tensors |= {f"grad.{n}": p.grad.clone() for n, p in trained.items()}
    tensors["merged"] = run(copy.deepcopy(m).merge_and_unload()).logits
    if case == "corda":
        whole = copy.deepcopy(m)
        shutil.rmtree(f"{OUT}/corda_converted", ignore_errors=True)
        whole.save_pretrained(f"{OUT}/corda_converted", path_initial_model_for_weight_conversion=start)
        os.remove(f"{OUT}/corda_converted/README.md")
        save_file({"logits": out.logits.detach().contiguous()}, f"{OUT}/corda_converted/logits.safetensors")
    optimizer = torch.optim.AdamW(list(trained.values()), lr=0.01, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        run(m).loss.backward()
        optimizer.step()
    tensors |= {f"after.{n}": p.detach().clone() for n, p in trained.items()}
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{case}.safetensors")
    print(case, float(out.loss.detach()))
