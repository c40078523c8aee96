"""Golden cases of the decoder models: logits, greedy continuations and sampling, from transformers on CPU in float32.

Made by transformers 4.57 and torch 2.15. Run from the repository root:
    python tests/oracles/models.py
Writes tests/oracles/golden/models/<case>/{config.json, model.safetensors, expected.safetensors}, generate.json in the
folders that have a greedy continuation, and models/{batch,sampling}.json.

Every case reads one batch: a full row, a row padded on the right and one padded on the left. Positions count a row's own
tokens, as transformers' generate counts them.
"""
import json, os, shutil
import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM,
                          SmolLM3Config, SmolLM3ForCausalLM, GemmaConfig, GemmaForCausalLM, Gemma3TextConfig,
                          Gemma3ForCausalLM)
from transformers.generation.logits_process import (LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper,
                                                    TopPLogitsWarper)

ROOT = "tests/oracles/golden/models"
shutil.rmtree(ROOT, ignore_errors=True)
os.makedirs(ROOT)
torch.manual_seed(7)
IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12, 30, 1, 22, 17], [36, 1, 0, 4, 8, 3, 3, 11, 0, 0, 0],
                    [0, 0, 0, 0, 21, 33, 6, 14, 25, 3, 28]])
MASK = torch.tensor([[1] * 11, [1] * 8 + [0] * 3, [0] * 4 + [1] * 7])
POSITIONS = (MASK.cumsum(-1) - 1).clamp(min=0)
PROMPTS = [[int(i) for i, m in zip(row, mask) if m] for row, mask in zip(IDS, MASK)]
NO_END = 10**6


def fill(model):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.4 if p.dim() > 1 else 0.1))
        for module in model.modules():
            if "Norm" in type(module).__name__ and "Gemma" not in type(module).__name__:
                module.weight.add_(1.0)
    return model


def load(path):
    """The model as stored, its weights widened to float32."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def expect(path):
    model = load(path)
    with torch.no_grad():
        logits = model(input_ids=IDS, attention_mask=MASK, position_ids=POSITIONS).logits
    save_file({"logits": logits.contiguous()}, f"{path}/expected.safetensors")
    extra = f"{path}/generation_config.json"
    if os.path.exists(extra):
        os.remove(extra)
    return model


def case(name, model, dtype=torch.float32):
    path = f"{ROOT}/{name}"
    fill(model).to(dtype).save_pretrained(path)
    return expect(path)


def greedy(model, prompt, **options):
    options = {"max_new_tokens": 12, "eos_token_id": NO_END, **options}
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                         do_sample=False, pad_token_id=0, **options)[0]
    with torch.no_grad():  # no choice may hang on rounding
        best = model(out[None]).logits[0, len(prompt) - 1:-1].topk(2).values
    assert (best[:, 0] - best[:, 1]).min() > 1e-3, "two tokens are nearly as good: change the seed"
    return out[len(prompt):].tolist()


def generation(name, model, context):
    ids = [greedy(model, prompt) for prompt in PROMPTS]
    assert any(len(set(row)) > 4 for row in ids), "the text repeats itself: change the seed"
    batch = model.generate(
        torch.tensor([[0] * (11 - len(p)) + p for p in PROMPTS]),
        attention_mask=torch.tensor([[0] * (11 - len(p)) + [1] * len(p) for p in PROMPTS]),
        do_sample=False, pad_token_id=0, eos_token_id=NO_END, max_new_tokens=12)[:, 11:].tolist()
    assert batch == ids
    end = ids[0][4]
    json.dump({"prompts": PROMPTS, "ids": ids, "eos": end, "ended": [greedy(model, p, eos_token_id=end) for p in PROMPTS],
               "context": context, "filled": greedy(model, PROMPTS[0], max_new_tokens=context - len(PROMPTS[0]))},
              open(f"{ROOT}/{name}/generate.json", "w"))


GPT2 = dict(vocab_size=43, n_positions=32, n_embd=20, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=NO_END)
LLAMA = dict(vocab_size=41, hidden_size=24, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=32, rms_norm_eps=1e-5, tie_word_embeddings=True,
             rope_theta=500.0, bos_token_id=0, eos_token_id=NO_END)

generation("gpt2", case("gpt2", GPT2LMHeadModel(GPT2Config(**GPT2))), 32)
generation("llama", case("llama", LlamaForCausalLM(LlamaConfig(**LLAMA))), 32)

# As OpenAI's own files: no prefix, causal masks among the tensors, no head. Other options beside.
path = f"{ROOT}/gpt2_bare"
fill(GPT2LMHeadModel(GPT2Config(**GPT2 | dict(n_inner=24, activation_function="gelu", scale_attn_weights=False,
                                             layer_norm_epsilon=1e-3)))).save_pretrained(path)
tensors = {name.removeprefix("transformer."): t for name, t in load_file(f"{path}/model.safetensors").items()
           if name != "lm_head.weight"}
for layer in range(2):
    tensors[f"h.{layer}.attn.bias"] = torch.ones(32, 32).tril()[None, None].contiguous()
    tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
save_file(tensors, f"{path}/model.safetensors", {"format": "pt"})
expect(path)

case("gpt2_untied", GPT2LMHeadModel(GPT2Config(**GPT2 | dict(tie_word_embeddings=False, activation_function="relu"))))
case("gpt2_f16", GPT2LMHeadModel(GPT2Config(**GPT2)), torch.float16)
case("llama_bf16", LlamaForCausalLM(LlamaConfig(**LLAMA)), torch.bfloat16)
case("llama3_rope", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(head_dim=12, rope_theta=50.0, rope_scaling=dict(
    rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)))))
case("llama_linear_rope", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(rope_scaling=dict(
    rope_type="linear", factor=3.0)))))
case("llama_untied", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(tie_word_embeddings=False))))
case("llama_head_dim", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(
    hidden_size=20, num_attention_heads=6, num_key_value_heads=3, head_dim=8, attention_bias=True, mlp_bias=True))))
case("mistral_window", MistralForCausalLM(MistralConfig(**LLAMA | dict(sliding_window=4))))
case("qwen2", Qwen2ForCausalLM(Qwen2Config(**LLAMA | dict(num_attention_heads=6, num_key_value_heads=2))))

json.dump({"inputIds": IDS.tolist(), "attentionMask": MASK.tolist(), "positionIds": POSITIONS.tolist()},
          open(f"{ROOT}/batch.json", "w"))

# What samplers leave of a row of scores. Ties stand at the edge for top-k alone, since transformers' top-p keeps now one,
# now another of equals.
scores = torch.randn(30) * 2
tied = scores.clone()
tied[[3, 8, 21]] = scores.topk(4).values[3]
samplers = [dict(temperature=0.7), dict(temperature=3.0), dict(topK=1), dict(topK=5), dict(topK=40), dict(topP=0.1),
            dict(topP=0.6), dict(topP=0.95), dict(temperature=1.7, topK=9, topP=0.8), dict(temperature=0.3, topK=12, topP=0.99)]


def processed(sampler, scores):
    warpers = LogitsProcessorList()
    if "temperature" in sampler:
        warpers.append(TemperatureLogitsWarper(sampler["temperature"]))
    if "topK" in sampler:
        warpers.append(TopKLogitsWarper(sampler["topK"]))
    if "topP" in sampler:
        warpers.append(TopPLogitsWarper(sampler["topP"]))
    return warpers(None, scores[None].clone())[0].softmax(-1).tolist()


json.dump([{"sampler": s, "scores": row.tolist(), "probabilities": processed(s, row)}
           for s in samplers for row in ([scores, tied] if list(s) == ["topK"] else [scores])],
          open(f"{ROOT}/sampling.json", "w"))

# Last, so that the cases above keep their random numbers: a window in the later blocks only.
case("qwen2_window", Qwen2ForCausalLM(Qwen2Config(**LLAMA | dict(
    num_hidden_layers=3, use_sliding_window=True, sliding_window=3, max_window_layers=1))))

# Texts longer than the first context under dynamic scaling; YaRN with its passage at whole dimensions and not.
case("llama_dynamic_rope", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(
    max_position_embeddings=8, head_dim=12, rope_scaling=dict(rope_type="dynamic", factor=4.0)))))
case("llama_yarn_rope", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(head_dim=20, rope_theta=50.0, rope_scaling=dict(
    rope_type="yarn", factor=4.0, original_max_position_embeddings=8, beta_fast=2.0, beta_slow=0.25)))))
case("llama_yarn_exact", LlamaForCausalLM(LlamaConfig(**LLAMA | dict(head_dim=20, rope_theta=50.0, rope_scaling=dict(
    rope_type="yarn", factor=4.0, original_max_position_embeddings=8, beta_fast=2.0, beta_slow=0.25, truncate=False,
    mscale=0.7, mscale_all_dim=1.3)))))

# Heads that are normalised, wider than the states; blocks without positions, with a window there or not.
torch.manual_seed(8)
QWEN3 = LLAMA | dict(num_attention_heads=6, head_dim=10)
generation("qwen3", case("qwen3", Qwen3ForCausalLM(Qwen3Config(**QWEN3))), 32)
case("qwen3_window", Qwen3ForCausalLM(Qwen3Config(**QWEN3 | dict(
    num_hidden_layers=3, use_sliding_window=True, sliding_window=3, max_window_layers=2, attention_bias=True,
    tie_word_embeddings=False))))
torch.manual_seed(8)
generation("smollm3", case("smollm3", SmolLM3ForCausalLM(SmolLM3Config(**LLAMA | dict(
    num_hidden_layers=5, use_sliding_window=True, sliding_window=4, pad_token_id=0)))), 32)
case("smollm3_plain", SmolLM3ForCausalLM(SmolLM3Config(**LLAMA | dict(
    num_hidden_layers=3, no_rope_layers=[0, 1, 1], pad_token_id=0))))

# Norms that learn their distance from one; behind each part, too, with a window in most blocks and a linear stretch of the others.
torch.manual_seed(8)
GEMMA = LLAMA | dict(head_dim=10, pad_token_id=0)
generation("gemma", case("gemma", GemmaForCausalLM(GemmaConfig(**GEMMA))), 32)
torch.manual_seed(8)
GEMMA3 = GEMMA | dict(query_pre_attn_scalar=7, sliding_window=4, num_hidden_layers=3, rope_local_base_freq=30.0)
generation("gemma3", case("gemma3", Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA3 | dict(
    layer_types=["sliding_attention", "full_attention", "sliding_attention"], tie_word_embeddings=False)))), 32)
case("gemma3_linear_rope", Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA3 | dict(
    attention_bias=True, num_hidden_layers=6, rope_scaling=dict(rope_type="linear", factor=3.0)))))
