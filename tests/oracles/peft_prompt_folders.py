"""Golden folders of soft prompts and X-LoRA as HF PEFT writes them, with logits, loss and the gradients of what was trained.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root, after llama_lora.py, peft_folders.py,
encoders.py and encoder_edits.py:
    python tests/oracles/peft_prompt_folders.py
Writes tests/oracles/golden/peft_prompts/<case>/: the folder, expected.safetensors and case.json with the base. PEFT evaluates
encoders when it saves, so gradients are given where parameters are stored as they train.
"""
import copy, json, os, shutil, warnings
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModelForTokenClassification,
                          T5ForConditionalGeneration)
from peft import (LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, XLoraConfig, get_peft_model)

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
ROOT = f"{GOLDEN}/peft_prompts"
CAUSAL = json.load(open(f"{GOLDEN}/llama_tiny/batch.json"))
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", labels="labels")
BASES = {  # name -> path, class, task, batch
    "llama": ("llama_tiny/base", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    "llama_untied": ("peft/bases/llama_untied", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    "gpt2": ("peft/bases/gpt2", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    **{name: (f"encoders/{name}", c, task, json.load(open(f"{GOLDEN}/encoders/{name}/case.json")))
       for name, c, task in [("bert_text", AutoModelForSequenceClassification, "SEQ_CLS"),
                             ("bert_tags", AutoModelForTokenClassification, "TOKEN_CLS"),
                             ("t5", T5ForConditionalGeneration, "SEQ_2_SEQ_LM")]},
}


def load(which):
    path, cls, *_ = BASES[which]
    torch.manual_seed(len(which))
    return cls.from_pretrained(f"{GOLDEN}/{path}", dtype=torch.float32, attn_implementation="eager")


CASES = {
    "prompt": ("llama", lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=5)),
    "prompt_gpt2": ("gpt2", lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prompt_vocabulary": ("llama", lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=4,
                                                                  prompt_tuning_init="SAMPLE_VOCAB")),
    "prompt_bert": ("bert_text", lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prompt_t5": ("t5", lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=3)),
    "p_tuning_mlp": ("llama", lambda task: PromptEncoderConfig(task_type=task, num_virtual_tokens=4, encoder_hidden_size=7)),
    "p_tuning_lstm": ("llama", lambda task: PromptEncoderConfig(
        task_type=task, num_virtual_tokens=4, encoder_hidden_size=7, encoder_reparameterization_type="LSTM",
        encoder_num_layers=2)),
    "prefix": ("llama", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=5)),
    "prefix_gqa": ("llama_untied", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prefix_gpt2": ("gpt2", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prefix_network": ("llama", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=4, prefix_projection=True,
                                                               encoder_hidden_size=7)),
    "prefix_bert": ("bert_text", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prefix_tags": ("bert_tags", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
}
STORED_AS_TRAINED = {n for n in CASES if "p_tuning" not in n and n != "prefix_network"}


def tidy(folder, which, expected):
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()}, f"{folder}/expected.safetensors")
    if os.path.exists(f"{folder}/README.md"):
        os.remove(f"{folder}/README.md")
    json.dump({"base": BASES[which][0], "task": BASES[which][2]}, open(f"{folder}/case.json", "w"))


for name, (which, make) in CASES.items():
    path, _, task, batch = BASES[which]
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(load(which), make(task))
    with torch.no_grad():
        for n, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.3)
    m.eval()
    out = m(**{NAMES[k]: torch.tensor(v) for k, v in batch.items() if k in NAMES})
    out.loss.backward()
    logits = out.logits
    if task == "CAUSAL_LM" and "prefix" not in name:
        logits = logits[:, -len(batch["inputIds"][0]):]  # without the rows of the prompt
    expected = {"logits": logits, "loss": out.loss.reshape(1)}
    folder = f"{ROOT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    stored = load_file(f"{folder}/adapter_model.safetensors")
    trained = {n: p for n, p in m.named_parameters() if p.requires_grad}
    if name in STORED_AS_TRAINED:
        for key in stored:
            [p] = [p for n, p in trained.items() if n.startswith("prompt_encoder") == (key == "prompt_embeddings")
                   and p.shape == stored[key].shape and torch.equal(p, stored[key])]
            expected[f"grad.{key}"] = p.grad
    tidy(folder, which, expected)
    print(name, {k: list(v.shape) for k, v in stored.items()}, float(out.loss))
    print("   ", open(f"{folder}/adapter_config.json").read().replace("\n", ""))
