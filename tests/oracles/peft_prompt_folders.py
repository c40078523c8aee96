"""Golden folders of soft prompts and X-LoRA as HF PEFT writes them, with logits, loss and the gradients of what was trained.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root, after llama_lora.py, peft_folders.py,
encoders.py and encoder_edits.py:
    python tests/oracles/peft_prompt_folders.py [case ...]
Writes tests/oracles/golden/peft_prompt_folders/<case>/: the folder, expected.safetensors and case.json with the base. PEFT evaluates
encoders when it saves, so gradients are given where parameters are stored as they train.
"""
import json, os, shutil, sys, warnings
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModelForTokenClassification,
                          T5ForConditionalGeneration)
from peft import (LoraConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, XLoraConfig, get_peft_model)

warnings.filterwarnings("ignore")
GOLDEN = "tests/oracles/golden"
ROOT = f"{GOLDEN}/peft_prompt_folders"
CAUSAL = json.load(open(f"{GOLDEN}/llama_lora/batch.json"))
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", labels="labels")
BASES = {  # name -> path, class, task, batch
    "llama": ("llama_lora/base", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    "llama_untied": ("peft_folders/bases/llama_untied", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    "gpt2": ("peft_folders/bases/gpt2", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    "mistral": ("models/mistral_window", AutoModelForCausalLM, "CAUSAL_LM", CAUSAL),
    **{name: (f"encoders/{name}", c, task, json.load(open(f"{GOLDEN}/encoders/{name}/case.json")))
       for name, c, task in [("bert_text", AutoModelForSequenceClassification, "SEQ_CLS"),
                             ("bert_tags", AutoModelForTokenClassification, "TOKEN_CLS"),
                             ("t5", T5ForConditionalGeneration, "SEQ_2_SEQ_LM"),
                             ("t5_gated", T5ForConditionalGeneration, "SEQ_2_SEQ_LM")]},
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
    # The window hides the prefix from tokens far behind it.
    "prefix_window": ("mistral", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prefix_bert": ("bert_text", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    "prefix_tags": ("bert_tags", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3)),
    # An encoder and a decoder: PEFT gives the prefixes to the decoder's self-attention alone, block i those of the table's layer
    # 2 i modulo the encoder's blocks. It takes the width for heads times their size unless told otherwise.
    "prefix_t5": ("t5", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3, token_dim=28)),
    "prefix_t5_gated": ("t5_gated", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=2, token_dim=28)),
    "prefix_t5_network": ("t5", lambda task: PrefixTuningConfig(task_type=task, num_virtual_tokens=3, token_dim=28,
                                                               prefix_projection=True, encoder_hidden_size=7)),
    "p_tuning_t5_mlp": ("t5_gated", lambda task: PromptEncoderConfig(task_type=task, num_virtual_tokens=3, encoder_hidden_size=7)),
    "p_tuning_t5_lstm": ("t5", lambda task: PromptEncoderConfig(
        task_type=task, num_virtual_tokens=3, encoder_hidden_size=7, encoder_reparameterization_type="LSTM",
        encoder_num_layers=2)),
}
STORED_AS_TRAINED = {n for n in CASES if "p_tuning" not in n and "network" not in n}


def tidy(folder, which, expected):
    save_file({k: v.detach().contiguous().clone() for k, v in expected.items()}, f"{folder}/expected.safetensors")
    if os.path.exists(f"{folder}/README.md"):
        os.remove(f"{folder}/README.md")
    json.dump({"base": BASES[which][0], "task": BASES[which][2]}, open(f"{folder}/case.json", "w"))


WANTED = sys.argv[1:] or [*CASES, "xlora", "xlora_deep", "xlora_plain"]
for name in [n for n in CASES if n in WANTED]:
    which, make = CASES[name]
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


def xlora(name, depth, p, **options):
    """PEFT loses the router's layer 0 when it saves: `<name>` has the whole router, which PEFT reads, `<name>_lost` is as saved."""
    def cacheless():
        m = load("llama")
        m.config.use_cache = False
        return m

    if name not in WANTED:
        return
    folder = f"{ROOT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(sum(map(ord, name)))
    paths = {}
    for i in range(2):
        e = get_peft_model(cacheless(), LoraConfig(r=2 + i, lora_alpha=4, target_modules=["q_proj", "down_proj"],
                                                   task_type="CAUSAL_LM"))
        with torch.no_grad():
            for q in e.parameters():
                if q.requires_grad:
                    q.add_(torch.randn_like(q) * 0.3)
        paths[str(i)] = f"{folder}/experts/{i}"
        e.save_pretrained(paths[str(i)])
        os.remove(f"{paths[str(i)]}/README.md")
    m = get_peft_model(cacheless(), XLoraConfig(task_type="CAUSAL_LM", hidden_size=24, adapters=paths, xlora_depth=depth,
                                                xlora_dropout_p=p, xlora_size=5, **options))
    router = m.base_model.internal_xlora_classifier
    with torch.no_grad():
        for q in router.parameters():
            q.add_(torch.randn_like(q) * 0.4)
    m.eval()
    batch = {NAMES[k]: torch.tensor(v) for k, v in CAUSAL.items()}
    out = m(**batch)
    out.loss.backward()
    names = {f"base_model.internal_xlora_classifier.{n}": q for n, q in router.named_parameters()}
    lost = f"{ROOT}/{name}_lost"
    shutil.rmtree(lost, ignore_errors=True)
    m.save_pretrained(lost)
    for i in range(2):
        shutil.rmtree(f"{lost}/{i}")  # where PEFT puts the whole base under mangled names
    os.remove(f"{lost}/README.md")
    shutil.copy(f"{lost}/adapter_config.json", folder)
    save_file({k: q.detach().clone() for k, q in names.items()}, f"{folder}/adapter_model.safetensors", {"format": "pt"})
    again = PeftModel.from_pretrained(cacheless(), folder).eval()(**batch).logits
    assert torch.equal(again, out.logits), "PEFT reads the whole router"
    tidy(folder, "llama", {"logits": out.logits, "loss": out.loss.reshape(1), **{f"grad.{k}": q.grad for k, q in names.items()}})
    print(name, {k: list(q.shape) for k, q in names.items()}, float(out.loss))


xlora("xlora", 1, 0.2, softmax_temperature=0.7, global_scaling_weight=1.5)
xlora("xlora_deep", 2, 0.2, layerwise_scalings=True, top_k_lora=1, enable_softmax_topk=True)
xlora("xlora_plain", 2, 0.0, enable_softmax=False)
