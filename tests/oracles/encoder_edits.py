"""Golden cases of edits other than those of linear layers on the encoders of encoders.py: prompts and prefixes by PEFT 0.21,
Pfeiffer adapters by adapters 1.3, each in a run of its own.

    python tests/oracles/encoder_edits.py             with PEFT
    python tests/oracles/encoder_edits.py adapters    with adapters
Writes tests/oracles/golden/encoder_edits/<case>.safetensors: `rows.<part>` what was trained, in our shapes, `grad.<part>`,
logits and loss; and the base t5_square, since PEFT's prefixes need headDim = width / heads.
"""
import json, os, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import (AutoModelForSequenceClassification, AutoModelForTokenClassification, T5Config,
                          T5ForConditionalGeneration)

warnings.filterwarnings("ignore")
BASES, OUT = "tests/oracles/golden/encoders", "tests/oracles/golden/encoder_edits"
os.makedirs(OUT, exist_ok=True)
CLASSES = {"bert_text": AutoModelForSequenceClassification, "bert_tags": AutoModelForTokenClassification,
           "roberta_tags": AutoModelForTokenClassification, "t5": T5ForConditionalGeneration,
           "t5_square": T5ForConditionalGeneration, "bert_score": AutoModelForSequenceClassification}
NAMES = dict(inputIds="input_ids", attentionMask="attention_mask", tokenTypeIds="token_type_ids", labels="labels")


def folder(base):
    return OUT + "/t5_square" if base == "t5_square" else f"{BASES}/{base}"


def load(base):
    torch.manual_seed(len(base))
    return CLASSES[base].from_pretrained(folder(base), dtype=torch.float32, attn_implementation="eager").eval()


def batch_of(base):
    case = json.load(open(f"{BASES}/{'t5' if base == 't5_square' else base}/case.json"))
    return {NAMES[k]: torch.tensor(v) for k, v in case.items()}


def save(name, out, trained):
    """`trained`: name -> (tensor, its gradient)."""
    tensors = {"logits": out.logits, "loss": out.loss.reshape(1)}
    for part, (value, grad) in trained.items():
        tensors[f"rows.{part}"], tensors[f"grad.{part}"] = value, grad
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, f"{OUT}/{name}.safetensors")
    print(name, float(out.loss), {k: list(v[0].shape) for k, v in trained.items()})


def by_peft():
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
    torch.manual_seed(4)
    square = T5ForConditionalGeneration(T5Config(
        vocab_size=37, d_model=20, d_kv=5, d_ff=26, num_layers=2, num_heads=4, dropout_rate=0.0, pad_token_id=0, eos_token_id=1,
        decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=12))
    with torch.no_grad():
        for n, p in square.named_parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1.0 if "norm" in n else 0.0))
    square.save_pretrained(OUT + "/t5_square")
    os.remove(OUT + "/t5_square/generation_config.json")
    n = 3
    for base, task in [("bert_text", "SEQ_CLS"), ("bert_tags", "TOKEN_CLS"), ("roberta_tags", "TOKEN_CLS"),
                       ("t5_square", "SEQ_2_SEQ_LM")]:
        m = get_peft_model(load(base), PrefixTuningConfig(task_type=task, num_virtual_tokens=n)).eval()
        w = m.prompt_encoder.default.embedding.weight
        out = m(**batch_of(base))
        out.loss.backward()
        parts = {}
        for i in range(3 if base != "t5_square" else 2):
            for j, part in enumerate("kv"):
                at = slice((2 * i + j) * 20, (2 * i + j + 1) * 20)
                parts[f"{part}.{i}"] = (w[:, at].reshape(n, 4, 5), w.grad[:, at].reshape(n, 4, 5))  # zeros where not read
        save(f"{base}_prefix", out, parts)
    for base, task in [("bert_text", "SEQ_CLS"), ("t5", "SEQ_2_SEQ_LM")]:
        m = get_peft_model(load(base), PromptTuningConfig(task_type=task, num_virtual_tokens=n)).eval()
        w = m.prompt_encoder.default.embedding.weight
        with torch.no_grad():
            w.copy_(torch.randn_like(w) * 0.5)
        out = m(**batch_of(base))
        out.loss.backward()
        save(f"{base}_prompt", out, {"prompt": (w[:n], w.grad[:n])})


def by_adapters():
    import adapters
    from adapters import DoubleSeqBnConfig, SeqBnConfig
    for base, kind, config in [("bert_text", "pfeiffer", SeqBnConfig(reduction_factor=4)),
                               ("bert_tags", "houlsby", DoubleSeqBnConfig(reduction_factor=4)),
                               ("t5", "pfeiffer", SeqBnConfig(reduction_factor=4)),
                               ("t5", "houlsby", DoubleSeqBnConfig(reduction_factor=4))]:
        m = load(base)
        adapters.init(m)
        m.add_adapter("a", config=config)
        m.train_adapter("a")
        trained = {n: p for n, p in m.named_parameters() if p.requires_grad and "classifier" not in n}
        with torch.no_grad():
            for p in trained.values():
                p.add_(torch.randn_like(p) * 0.2)
        m.eval()
        out = m(**batch_of(base))
        out.loss.backward()
        print([n for n in trained][:8])
        names = {"adapters.a.adapter_down.0": "down", "adapters.a.adapter_up": "up", "attention_adapters.": "",
                 "output_adapters.": "", "cross_": ""}
        parts = {}
        for name, p in trained.items():
            ours = name
            for theirs, short in names.items():
                ours = ours.replace(theirs, short)
            parts[ours] = (p, p.grad)
        save(f"{base}_{kind}", out, parts)


by_adapters() if "adapters" in sys.argv else by_peft()
