"""Golden cases of BERT, RoBERTa, XLM-RoBERTa, T5 and mT5: logits, the loss of a LoRA and its gradients under the names of
its folder, greedy continuations, embeddings, and T5's buckets of distances.

Made by transformers 4.57, peft 0.21 and torch 2.15 on CPU in float32. Run from the repository root:
    python tests/oracles/encoders.py
Writes tests/oracles/golden/encoders/<case>/{config.json, model.safetensors, case.json, expected.safetensors, adapter/}.
The batch has a full row, a padded one and one with padding inside its text; sizes are odd on purpose.
"""
import json, os, shutil, warnings
import torch
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertForMaskedLM, BertForSequenceClassification, BertForTokenClassification, BertModel,
                          MT5Config, MT5ForConditionalGeneration, RobertaConfig, RobertaForMaskedLM,
                          RobertaForSequenceClassification, RobertaForTokenClassification, T5Config,
                          T5ForConditionalGeneration, XLMRobertaConfig, XLMRobertaForSequenceClassification)
from transformers.models.t5.modeling_t5 import T5Attention
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden/encoders"
shutil.rmtree(ROOT, ignore_errors=True)
os.makedirs(ROOT)

IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12, 30, 22], [36, 6, 9, 4, 8, 3, 1, 1, 1], [17, 1, 1, 21, 33, 6, 14, 25, 3]])
MASK = (IDS != 1).long()
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 1, 1]])
WORDS = torch.where(torch.tensor([[0, 1, 0, 0, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 1, 0]]) == 1,
                    (IDS * 7 + 3) % 37, -100)
TAGS = torch.where(MASK == 1, IDS % 5, -100)
ANSWERS = torch.tensor([[4, 9, 30, 2, 11, 1], [6, 1, -100, -100, -100, -100], [33, 5, 5, 8, 1, -100]])

BERT = dict(vocab_size=37, hidden_size=20, num_hidden_layers=3, num_attention_heads=4, intermediate_size=28,
            max_position_embeddings=16, type_vocab_size=2, pad_token_id=1, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0)
ROBERTA = BERT | dict(max_position_embeddings=18, type_vocab_size=1, bos_token_id=0, eos_token_id=2)
T5 = dict(vocab_size=37, d_model=20, d_kv=7, d_ff=26, num_layers=2, num_heads=4, dropout_rate=0.0, pad_token_id=0,
          eos_token_id=1, decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=12)


def fill(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1))
        for module in model.modules():
            if type(module).__name__.endswith("LayerNorm"):
                module.weight.add_(1.0)
    return model


def case(name, model, batch, task=None, targets=None, change=None, extra=None, seed=0, **lora):
    torch.manual_seed(sum(map(ord, name)) + seed)
    folder = f"{ROOT}/{name}"
    fill(model).eval().save_pretrained(folder)
    model.config._attn_implementation = "eager"
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    if "decoder_input_ids" not in inputs and "labels" in batch and model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = model._shift_right(batch["labels"])
    with torch.no_grad():
        out = model(**inputs)
    expected = {"logits": (out.logits if hasattr(out, "logits") else out.last_hidden_state).contiguous()}
    if extra:
        expected |= extra(model)
    if "labels" in batch:
        with torch.no_grad():
            expected["base_loss"] = model(**batch).loss.reshape(1).clone()
        m = get_peft_model(model, LoraConfig(task_type=task, r=3, lora_alpha=5, target_modules=targets, **lora))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for _, p in m.named_parameters():
                if p.requires_grad:
                    p.add_(torch.randn(p.shape, generator=generator) * 0.2)
        m.eval()
        out = m(**batch)
        out.loss.backward()
        expected |= {"adapted": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
        parameters = dict(m.named_parameters())
        state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
        for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
            if gradient is not None:
                expected["grad." + key] = gradient.contiguous()
        m.save_pretrained(f"{folder}/adapter", save_embedding_layers=False)
        os.remove(f"{folder}/adapter/README.md")
    save_file(expected, f"{folder}/expected.safetensors")
    names = dict(input_ids="inputIds", attention_mask="attentionMask", token_type_ids="tokenTypeIds", labels="labels",
                 decoder_input_ids="decoderInputIds")
    json.dump({names[k]: v.tolist() for k, v in batch.items()}, open(f"{folder}/case.json", "w"))
    if os.path.exists(f"{folder}/generation_config.json"):
        os.remove(f"{folder}/generation_config.json")
    if change:
        path = f"{folder}/model.safetensors"
        save_file(change(load_file(path)), path, {"format": "pt"})
    print(name, len(expected))


def bert(labels=None, types=True):
    return dict(input_ids=IDS, attention_mask=MASK, **(dict(token_type_ids=TYPES) if types else {}),
                **({} if labels is None else dict(labels=torch.as_tensor(labels))))


def old_names(tensors):
    """As the first checkpoints: gamma and beta, the buffer of positions, the pooler and a second head beside."""
    tensors = {n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
               for n, t in tensors.items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(16)[None]
    tensors["bert.pooler.dense.weight"] = torch.zeros(20, 20)
    tensors["bert.pooler.dense.bias"] = torch.zeros(20)
    tensors["cls.seq_relationship.weight"] = torch.zeros(2, 20)
    tensors["cls.seq_relationship.bias"] = torch.zeros(2)
    return tensors


def pooled(model):
    with torch.no_grad():
        states = model(input_ids=IDS, attention_mask=MASK, token_type_ids=TYPES).last_hidden_state
    mask = MASK[:, :, None].float()
    mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
    return {"mean": mean.contiguous(), "unit": torch.nn.functional.normalize(mean, dim=1).contiguous(),
            "first": states[:, 0].contiguous()}


CLASSES = dict(num_labels=3)
case("bert_text", BertForSequenceClassification(BertConfig(**BERT, **CLASSES)), bert([2, 0, 1]), "SEQ_CLS", ["query", "value"])
case("bert_score", BertForSequenceClassification(BertConfig(**BERT, num_labels=1)), bert([0.5, -2.0, 3.25]), "SEQ_CLS",
     ["query", "output.dense", "pooler.dense"])
case("bert_flags", BertForSequenceClassification(BertConfig(**BERT, **CLASSES, problem_type="multi_label_classification")),
     bert([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), "SEQ_CLS", ["key", "intermediate.dense"])
case("bert_scores", BertForSequenceClassification(BertConfig(**BERT, **CLASSES, problem_type="regression")),
     bert([[1.5, 0.0, -1.0], [0.25, 2.0, 0.0], [1.0, 1.0, 0.5]]), "SEQ_CLS", ["value"])
case("bert_tags", BertForTokenClassification(BertConfig(**BERT, num_labels=5)), bert(TAGS), "TOKEN_CLS",
     ["query", "key", "value", "dense"])
case("bert_mask", BertForMaskedLM(BertConfig(**BERT)), bert(WORDS), None, ["value", "word_embeddings", "transform.dense"],
     old_names)
case("bert_bare", BertModel(BertConfig(**BERT, hidden_act="gelu_new")), bert(), extra=pooled)
case("roberta_text", RobertaForSequenceClassification(RobertaConfig(**ROBERTA, **CLASSES)), bert([2, 0, 1], False), "SEQ_CLS",
     ["query", "value"])
case("roberta_tags", RobertaForTokenClassification(RobertaConfig(**ROBERTA, num_labels=5)), bert(TAGS, False), "TOKEN_CLS",
     ["query", "value", "position_embeddings"])
case("roberta_mask", RobertaForMaskedLM(RobertaConfig(**ROBERTA)), bert(WORDS, False), None, ["value", "lm_head.dense"])
case("xlm_roberta_text", XLMRobertaForSequenceClassification(XLMRobertaConfig(**ROBERTA, **CLASSES)), bert([1, 1, 2], False),
     "SEQ_CLS", ["query", "value"])


def t5():
    ids = torch.where(MASK == 1, IDS, 0)
    return dict(input_ids=ids, attention_mask=MASK, labels=ANSWERS)


def continuations(model):
    """Greedy, from a batch with padding and from each row alone; all must agree, and no choice may hang on rounding."""
    batch = t5()
    out = model.generate(input_ids=batch["input_ids"], attention_mask=MASK, do_sample=False, max_new_tokens=9,
                         eos_token_id=10**6, num_beams=1)
    with torch.no_grad():
        best = model(input_ids=batch["input_ids"], attention_mask=MASK, decoder_input_ids=out[:, :-1]).logits.topk(2).values
    assert (best[..., 0] - best[..., 1]).min() > 1e-3, "two tokens are nearly as good: change the seed"
    assert len(set(out.flatten().tolist())) > 5, out
    rows = [[int(i) for i, m in zip(row, mask) if m] for row, mask in zip(batch["input_ids"], MASK)]
    alone = [model.generate(input_ids=torch.tensor([row]), do_sample=False, max_new_tokens=9, eos_token_id=10**6,
                            num_beams=1)[0, 1:] for row in rows]
    return {"generated": out[:, 1:].int().contiguous(), "alone": torch.stack(alone).int()}


def copies(tensors):
    """As the first checkpoints: the token table three times, and a table of distances that is never read."""
    shared = tensors["shared.weight"]
    return tensors | {"encoder.embed_tokens.weight": shared.clone(), "decoder.embed_tokens.weight": shared.clone(),
                      "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.zeros(8, 4)}


case("t5", T5ForConditionalGeneration(T5Config(**T5)), t5(), "SEQ_2_SEQ_LM", ["q", "v"], copies, continuations)
case("t5_gated", T5ForConditionalGeneration(T5Config(**T5 | dict(num_layers=3, num_decoder_layers=2), feed_forward_proj="gated-gelu",
                                                     tie_word_embeddings=False)), t5(), "SEQ_2_SEQ_LM",
     ["q", "k", "v", "o", "wi_0", "wi_1", "wo"], extra=continuations)
case("mt5", MT5ForConditionalGeneration(MT5Config(**T5)), t5(), "SEQ_2_SEQ_LM", ["k", "wi_1"], extra=continuations,
     seed=1)  # another, since torch itself was off by more than the tolerance

distances = torch.arange(-300, 301)
json.dump([{"sides": "both" if both else "behind", "buckets": n, "farthest": far, "first": -300,
            "expected": T5Attention._relative_position_bucket(distances, both, n, far).tolist()}
           for n, far in [(32, 128), (8, 12), (10, 77)] for both in [True, False]], open(f"{ROOT}/buckets.json", "w"))
