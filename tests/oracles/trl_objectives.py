"""Losses, metrics and gradients of preference tuning, reward models and distillation, by trl 1.16 with transformers 4.57 and PEFT 0.21.

    python tests/oracles/trl_objectives.py

starts from golden/llama_lora and golden/encoders/bert_score, their bases with their LoRA adapters, and writes
golden/trl_objectives/cases.json: batches of token ids, and for each objective its options, loss and metrics; and
golden/trl_objectives/reward_adapter, a LoRA with a head of one score for llama_lora's base; and
golden/trl_objectives/{name}.safetensors: the gradients of the adapter's parameters under PEFT's names.

DPO's losses are DPOTrainer's, with the base as the reference, reward models' RewardTrainer's. trl smooths labels of DPO in its "robust" and
"aot" losses alone: with one pair in a batch, where there is nothing to sort, "aot" is the smoothed sigmoid loss, so "smoothed" is its mean
over batches of one pair. Their "kl" is the estimate of GRPOTrainer's per-token divergence on the log-probabilities of the answers'
tokens, in the mean over the tokens of each answer, then over answers. ORPO's log-probabilities and odds are ORPOTrainer's; its likelihood is the mean over the tokens of each chosen answer, as in the paper,
where trl takes the mean over all tokens of a batch, prompts included. Distillation is GKDTrainer's generalized_jsd_loss at its ends, times the square of the temperature.
"""
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from transformers import (
    BertForSequenceClassification, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer
from trl.experimental.gkd import GKDTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.utils import selective_log_softmax

ROOT = Path(__file__).parent / "golden"
OUT = Path(__file__).parent / "golden" / "trl_objectives"
OUT.mkdir(parents=True, exist_ok=True)
PAD = 0
# Prompt, chosen, rejected; of different lengths.
PAIRS = [
    ([5, 9, 3], [7, 8, 2], [11, 4, 6, 13, 2]),
    ([21, 14], [30, 2], [31, 32, 2]),
    ([17, 18, 19, 20, 4], [6, 2], [6, 6, 6, 2]),
]
MARGINS = [0.5, 0.0, 1.25]


def batch(pairs):
    rows = [p + c for p, c, _ in pairs] + [p + r for p, _, r in pairs]
    prompts = [len(p) for p, _, _ in pairs] * 2
    width = max(map(len, rows))
    return {
        "input_ids": torch.tensor([row + [PAD] * (width - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        "completion_mask": torch.tensor(
            [[0] * n + [1] * (len(row) - n) + [0] * (width - len(row)) for row, n in zip(rows, prompts)]),
    }


def llama():
    base = LlamaForCausalLM.from_pretrained(ROOT / "llama_lora" / "base", attn_implementation="eager")
    return PeftModel.from_pretrained(base, ROOT / "llama_lora" / "lora", is_trainable=True)


def tokenizer():
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(37)}, unk_token="w3"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2", pad_token="w0", unk_token="w3")


cases = []


def record(name, kind, options, model, loss, metrics):
    model.zero_grad()
    loss.backward()
    gradients = {
        name.replace(".default", "").replace("modules_to_save.", ""): p.grad.contiguous()
        for name, p in model.named_parameters() if p.requires_grad and p.grad is not None
    }
    save_file(gradients, OUT / f"{name}.safetensors")
    cases.append({"name": name, "kind": kind, "options": options, "loss": loss.item(), "metrics": metrics})


def quiet(**more):
    return {"output_dir": tempfile.mkdtemp(), "use_cpu": True, "report_to": [], "bf16": False, **more}


TEXTS = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}] * 2)


def dpo(name, options, **config):
    model = llama()
    trainer = DPOTrainer(model=model, args=DPOConfig(**quiet(**config)), train_dataset=TEXTS, processing_class=tokenizer())
    model = trainer.model
    model.delete_adapter("ref")  # trl's copy of the adapter as it was: here the base is the reference
    model.eval()
    parts = [PAIRS] if name != "smoothed" else [[pair] for pair in PAIRS]
    loss = sum(trainer._compute_loss(model, batch(part), False) for part in parts) / len(parts)
    metrics = trainer._metrics["eval"]
    told = {key: sum(metrics[f"rewards/{key}"]) / len(parts) for key in ("chosen", "rejected", "margins", "accuracies")}
    told["kl"] = divergence(model)
    record(name, "dpo", options, model, loss, told)


def divergence(model):
    """GRPOTrainer: per_token_kl = exp(ref - own) - (ref - own) - 1."""
    b = batch(PAIRS)
    inputs = {"input_ids": b["input_ids"], "attention_mask": b["attention_mask"]}
    with torch.no_grad():
        own = selective_log_softmax(model(**inputs).logits[:, :-1], b["input_ids"][:, 1:])
        with model.disable_adapter():
            ref = selective_log_softmax(model(**inputs).logits[:, :-1], b["input_ids"][:, 1:])
    mask = b["completion_mask"][:, 1:]
    per_token = torch.exp(ref - own) - (ref - own) - 1
    return ((per_token * mask).sum(1) / mask.sum(1)).mean().item()


dpo("sigmoid", {"beta": 0.3}, beta=0.3)
dpo("hinge", {"beta": 0.3, "loss": "hinge"}, beta=0.3, loss_type=["hinge"])
dpo("ipo", {"beta": 0.3, "loss": "ipo"}, beta=0.3, loss_type=["ipo"])
dpo("robust", {"beta": 0.3, "loss": "robust", "labelSmoothing": 0.1}, beta=0.3, loss_type=["robust"], label_smoothing=0.1)
dpo("smoothed", {"beta": 0.3, "labelSmoothing": 0.1}, beta=0.3, loss_type=["aot"], label_smoothing=0.1)


def orpo():
    model = llama().eval()
    b = batch(PAIRS)
    logits = model(b["input_ids"], attention_mask=b["attention_mask"]).logits
    labels = b["input_ids"].masked_fill(b["completion_mask"] == 0, -100)
    logps = ORPOTrainer.get_batch_logps(logits, labels, average_log_prob=True)
    n = len(PAIRS)
    own = SimpleNamespace(beta=0.2, accelerator=SimpleNamespace(device="cpu"))
    losses, better, worse, _, _ = ORPOTrainer.odds_ratio_loss(own, logps[:n], logps[n:])
    told = {"chosen": better.mean().item(), "rejected": worse.mean().item(), "margins": (better - worse).mean().item(),
            "accuracies": (better > worse).float().mean().item()}
    record("orpo", "orpo", {"beta": 0.2}, model, -logps[:n].mean() - losses.mean(), told)


orpo()


def bert():
    folder = ROOT / "encoders" / "bert_score"
    model = BertForSequenceClassification.from_pretrained(folder)
    return PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)


def scoring_llama():
    """The base with a head of one score, which the adapter's folder holds as PEFT's modules_to_save."""
    torch.manual_seed(5)
    base = LlamaForSequenceClassification.from_pretrained(
        ROOT / "llama_lora" / "base", num_labels=1, pad_token_id=PAD, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(
        task_type="SEQ_CLS", r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    folder = OUT / "reward_adapter"
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    return model


def reward(name, options, margins, make=bert, **config):
    model = make().eval()
    rows = batch(PAIRS)
    inputs = {"input_ids": rows["input_ids"], "attention_mask": rows["attention_mask"]}
    if margins is not None:
        inputs["margin"] = torch.tensor(margins)
    own = SimpleNamespace(
        _total_train_tokens=0, model=model, args=RewardConfig(**quiet(**config)), _metrics={"eval": {key: [] for key in (
            "num_tokens", "min_reward", "mean_reward", "max_reward", "accuracy", "margin")}},
        accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x))
    loss = RewardTrainer.compute_loss(own, lambda use_cache, margin=None, **inputs: model(**inputs), inputs)
    told = {"margins": own._metrics["eval"]["margin"][0], "accuracies": own._metrics["eval"]["accuracy"][0]}
    record(name, "reward", options, model, loss, told)


reward("reward", {}, None)
reward("reward_llama", {}, MARGINS, scoring_llama)
reward("reward_margin", {"center": 0.05}, MARGINS, center_rewards_coefficient=0.05)


def distill(name, direction, temperature):
    model = llama().eval()
    torch.manual_seed(4)
    config = LlamaConfig(vocab_size=37, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=64, rope_theta=500.0, rms_norm_eps=1e-5)
    b = batch(PAIRS)
    labels = b["input_ids"].masked_fill(b["completion_mask"] == 0, -100)[:, 1:]
    inputs = {"input_ids": b["input_ids"], "attention_mask": b["attention_mask"]}
    with torch.no_grad(), model.disable_adapter():  # the base teaches
        taught = model(**inputs).logits[:, :-1]
    own = model(**inputs).logits[:, :-1]
    loss = GKDTrainer.generalized_jsd_loss(
        own, taught, labels, beta={"forward": 0, "reverse": 1}[direction], temperature=temperature)
    record(name, "distill", {"direction": direction, "temperature": temperature}, model, loss * temperature**2, {})


distill("forward", "forward", 1.0)
distill("reverse", "reverse", 2.0)
(OUT / "cases.json").write_text(json.dumps({"pairs": PAIRS, "margins": MARGINS, "cases": cases}, indent=1))
for case in cases:
    print(case)
