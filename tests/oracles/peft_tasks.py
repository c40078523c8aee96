"""Golden folders of LLaMA-Adapter, multitask prompt tuning and CPT as HF PEFT writes them, with logits, loss and the gradients of what
was trained; and LLaMA-Adapter's own gates, one a head through tanh, which PEFT's layer computes when its gate is made so.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root, after llama_lora.py,
peft_folders.py and encoders.py:
    python tests/oracles/peft_tasks.py [case ...]
Writes tests/oracles/golden/peft_tasks/<case>/ in the form of peft_prompt_folders.py, and
tests/oracles/golden/peft_tasks/{llama_adapter,context_prompt}.safetensors in the form of soft_prompts.py, the latter with `step.`,
offsets after three AdamW steps at 1e-2 with decay 0.01.
"""
import json, os, shutil, sys, warnings
import torch
import torch.nn.utils.parametrize as parametrize
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, T5ForConditionalGeneration
from peft import AdaptionPromptConfig, CPTConfig, MultitaskPromptTuningConfig, get_peft_model
from peft.tuners.adaption_prompt.layer import AdaptedAttention

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
BATCH = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", labels="labels")
IDS, MASK, LABELS = (torch.tensor(BATCH[k]) for k in ["inputIds", "attentionMask", "labels"])
TINY, GROUPED, T5 = "llama_lora/base", "peft_folders/bases/llama_untied", "encoders/t5"
# Two examples of template, input, template, label, and a token that has no type.
CONTEXT = dict(task_type="CAUSAL_LM", cpt_token_ids=[0, 5, 9, 31, 2, 7, 11, 12, 30, 8, 4], opt_weighted_loss_type="decay",
               cpt_tokens_type_mask=[0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8], opt_loss_decay_factor=0.7, opt_projection_epsilon=3.0,
               opt_projection_format_epsilon=5.0)
CASES = {  # name -> base, config, the tasks of the rows
    "adaption": (TINY, AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=5, adapter_layers=1), None),
    "adaption_grouped": (GROUPED, AdaptionPromptConfig(task_type="CAUSAL_LM", adapter_len=3, adapter_layers=2), None),
    "context": (TINY, CPTConfig(**CONTEXT), None),
    "context_plain": (GROUPED, CPTConfig(task_type="CAUSAL_LM", cpt_token_ids=[5, 9, 31, 2], cpt_tokens_type_mask=[1, 2, 3, 4]), None),
    "multitask": (TINY, MultitaskPromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, num_tasks=3, num_ranks=2),
                  [2, 0]),
    "multitask_t5_reading": (T5, MultitaskPromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=3, num_ranks=2,
                                                            num_transformer_submodules=1), [0, 0, 0]),
    "multitask_t5": (T5, MultitaskPromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=3, num_tasks=2), [1, 0, 1]),
}


def load(which):
    if which == T5:
        return T5ForConditionalGeneration.from_pretrained(f"{GOLDEN}/{which}", dtype=torch.float32)
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
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_tasks/llama_adapter.safetensors")
    print("llama_adapter", {k: list(v.shape) for k, v in tensors.items()}, float(out.loss))


def by_steps():
    torch.manual_seed(22)
    m = get_peft_model(load(TINY), CPTConfig(**CONTEXT)).eval()
    encoder = m.prompt_encoder["default"]
    delta = encoder.delta_embedding.weight
    with torch.no_grad():
        delta.add_(torch.randn_like(delta) * 0.05)  # some within their bounds, some beyond

    def run():
        return m(input_ids=IDS, attention_mask=MASK, labels=LABELS)

    optimizer = torch.optim.AdamW([delta], lr=1e-2, weight_decay=0.01)
    out = run()
    out.loss.backward()
    tensors = {"logits": out.logits[:, -IDS.shape[1]:], "loss": out.loss.reshape(1), "param.offsets": delta.detach().clone(),
               "param.frozen.tokens": encoder.embedding.weight, "grad.offsets": delta.grad.clone()}
    for _ in range(3):
        optimizer.zero_grad()
        run().loss.backward()
        optimizer.step()
    run()  # which projects
    tensors["step.offsets"] = delta
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{GOLDEN}/peft_tasks/context_prompt.safetensors")
    print("context_prompt", float(out.loss), tensors["param.offsets"].norm(dim=1), delta.norm(dim=1))


if not sys.argv[1:]:
    by_heads()
    by_steps()
for name in sys.argv[1:] or CASES:
    which, config, tasks = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(load(which), config)
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.5)
    m.eval()
    batch = dict(input_ids=IDS, attention_mask=MASK, labels=LABELS)
    if which == T5:
        batch = {k: torch.tensor(v) for k, v in json.load(open(f"{GOLDEN}/{T5}/case.json")).items() if k in NAMES}
        batch = {NAMES[k]: v for k, v in batch.items()}
    out = m(**batch, **({} if tasks is None else {"task_ids": torch.tensor(tasks)}))
    out.loss.backward()
    folder = f"{GOLDEN}/peft_tasks/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    os.remove(f"{folder}/README.md")
    stored = load_file(f"{folder}/adapter_model.safetensors")
    logits = out.logits[:, -batch["labels"].shape[1]:]  # without the rows of the prompt
    expected = {"logits": logits, "loss": out.loss.reshape(1)}
    trained = {n: p for n, p in m.named_parameters() if p.requires_grad}
    for key, value in stored.items() if "context" not in name else []:  # offsets are stored with the tokens
        [p] = [p for n, p in trained.items() if torch.equal(p, value)]
        expected[f"grad.{key}"] = p.grad
    assert len(stored) == len(trained), name
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()}, f"{folder}/expected.safetensors")
    json.dump({"base": which, "task": str(config.task_type.value if hasattr(config.task_type, "value") else config.task_type),
               **({"rows": [str(t) for t in tasks]} if tasks and getattr(config, "num_tasks", 1) > 1 else {})}, open(f"{folder}/case.json", "w"))
    print(name, {k: list(v.shape) for k, v in stored.items()}, float(out.loss))
    print("   ", open(f"{folder}/adapter_config.json").read().replace("\n", ""))
