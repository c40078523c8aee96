"""Golden folders of LLaMA-Adapter as HF PEFT writes them, with logits, loss and the gradients of what was trained; and the
paper's gates, one a head through tanh, which PEFT's layer computes when its gate is made so.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root, after llama_lora.py and
peft_folders.py:
    python tests/oracles/peft_tasks.py [case ...]
Writes tests/oracles/golden/peft_prompts/<case>/ in the form of peft_prompt_folders.py, and
tests/oracles/golden/methods/llama_adapter.safetensors in the form of soft_prompts.py.
"""
import json, os, shutil, sys, warnings
import torch
import torch.nn.utils.parametrize as parametrize
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from peft import AdaptionPromptConfig, get_peft_model
from peft.tuners.adaption_prompt.layer import AdaptedAttention

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
BATCH = json.load(open(f"{GOLDEN}/llama_tiny/batch.json"))
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
TINY, GROUPED = "llama_tiny/base", "peft/bases/llama_untied"
CASES = {
    "adaption": (TINY, AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=5, adapter_layers=1)),
    "adaption_grouped": (GROUPED, AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=3, adapter_layers=2)),
}


def load(which):
    return AutoModelForCausalLM.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32, attn_implementation="eager")


class HeadGates(torch.nn.Module):
    def forward(self, gate):
        return torch.tanh(gate)[None, :, None, None]  # [1, h, 1, 1]


def by_heads():
    torch.manual_seed(21)
    m = get_peft_model(load(TINY), AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=4, adapter_layers=2)).eval()
    params = {}
    for n, module in m.get_base_model().named_modules():
        if isinstance(module, AdaptedAttention):
            module.adaption_gate = torch.nn.Parameter(torch.randn(module.num_heads))
            parametrize.register_parametrization(module, "adaption_gate", HeadGates(), unsafe=True)
            params[f"{n}.prompt"] = module.adaption_prompt
            params[f"{n}.gate"] = module.parametrizations.adaption_gate.original
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    grads = torch.autograd.grad(out.loss, list(params.values()))
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    for (path, p), g in zip(params.items(), grads):
        shape = p.shape[-2:]
        tensors[f"param.{path}"], tensors[f"grad.{path}"] = p.reshape(shape), g.reshape(shape)
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/methods/llama_adapter.safetensors")
    print("llama_adapter", {k: list(v.shape) for k, v in tensors.items()}, float(out.loss))


if not sys.argv[1:]:
    by_heads()
for name in sys.argv[1:] or CASES:
    which, config = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(load(which), config)
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.5)
    m.eval()
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    out.loss.backward()
    folder = f"{GOLDEN}/peft_prompts/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    os.remove(f"{folder}/README.md")
    stored = load_file(f"{folder}/adapter_model.safetensors")
    expected = {"logits": out.logits, "loss": out.loss.reshape(1)}
    trained = {n: p for n, p in m.named_parameters() if p.requires_grad}
    for key, value in stored.items():
        [p] = [p for n, p in trained.items() if torch.equal(p, value)]
        expected[f"grad.{key}"] = p.grad
    assert len(stored) == len(trained)
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()}, f"{folder}/expected.safetensors")
    json.dump({"base": which, "task": "CAUSAL_LM"}, open(f"{folder}/case.json", "w"))
    print(name, {k: list(v.shape) for k, v in stored.items()}, float(out.loss))
    print("   ", open(f"{folder}/adapter_config.json").read().replace("\n", ""))
