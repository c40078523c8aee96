"""Golden files for formats/: safetensors by `safetensors`, bitsandbytes folders by transformers + bitsandbytes, GGUF by
`gguf`, and what transformers makes of those GGUF files. Run: python tests/oracles/formats.py

safetensors 0.7, transformers 4.57, bitsandbytes 0.50, gguf 0.18, torch 2.15, all on CPU.
"""
import base64, hashlib, json, os, shutil

import numpy as np
import torch
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden", "formats")
os.makedirs(OUT, exist_ok=True)


def b64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def padded(raw):
    return raw + b"\0" * (-len(raw) % 4)


# safetensors: every number type, odd shapes ---------------------------------------------------------------------------
def plain():
    tensors = {
        "f32": torch.tensor([[1.5, -2.25, float("inf")], [0.0, -0.0, 1e-40]]),
        "f16": torch.tensor([1.0, -65504.0, 6e-8, 0.1], dtype=torch.float16),
        "bf16": torch.tensor([[1.0], [-3e38], [0.1]], dtype=torch.bfloat16),
        "f64": torch.tensor([0.1, -1e-300, 3.0], dtype=torch.float64),
        "i64": torch.tensor([-(2**31), 2**31 - 1, 0], dtype=torch.int64),
        "i64_wide": torch.tensor([2**31], dtype=torch.int64),
        "i32": torch.tensor([[-5, 7]], dtype=torch.int32),
        "i16": torch.tensor([-32768, 32767], dtype=torch.int16),
        "i8": torch.tensor([-128, 127, 0], dtype=torch.int8),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(4.0),
        "empty": torch.zeros((0, 3)),
        "name.with.dots é\"": torch.ones(2),
    }
    save_file(tensors, os.path.join(OUT, "plain.safetensors"), metadata={"format": "pt"})
    ours = {}
    for name, t in tensors.items():
        if t.dtype == torch.float64:
            dtype, array = "f32", t.to(torch.float32).numpy()
        elif t.dtype == torch.bfloat16:
            dtype, array = "bf16", t.view(torch.int16).numpy()
        elif t.dtype in (torch.int64, torch.int16, torch.int8):
            dtype, array = "i32", t.numpy().astype(np.int32)
        elif t.dtype == torch.bool:
            dtype, array = "u8", t.numpy().astype(np.uint8)
        else:
            dtype = {torch.float32: "f32", torch.float16: "f16", torch.int32: "i32", torch.uint8: "u8"}[t.dtype]
            array = t.numpy()
        ours[name] = {"dtype": dtype, "shape": list(t.shape), "bytes": b64(array)}
    with open(os.path.join(OUT, "plain.json"), "w") as f:
        json.dump(ours, f, indent=1, sort_keys=True)


# bitsandbytes folders -------------------------------------------------------------------------------------------------
def bitsandbytes():
    import bitsandbytes as bnb
    import bitsandbytes.functional as F
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=40, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, intermediate_size=24,
        vocab_size=32, max_position_embeddings=16,
    )
    base = os.path.join(OUT, "_base")
    LlamaForCausalLM(config).to(torch.float16).save_pretrained(base)
    kinds = {
        "nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
        "nf4_double": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
        "fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
        "fp4_double": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
        "int8": dict(load_in_8bit=True),
    }
    expected = {}
    for kind, options in kinds.items():
        folder = os.path.join(OUT, f"bnb_{kind}")
        shutil.rmtree(folder, ignore_errors=True)
        model = AutoModelForCausalLM.from_pretrained(
            base, quantization_config=BitsAndBytesConfig(**options), device_map="cpu"
        )
        model.save_pretrained(folder)
        for extra in ("generation_config.json",):
            os.path.exists(os.path.join(folder, extra)) and os.remove(os.path.join(folder, extra))
        rows = {}
        for name, module in model.named_modules():
            if isinstance(module, bnb.nn.Linear4bit):
                w, s = module.weight, module.weight.quant_state
                raw = padded(w.data.numpy().tobytes())
                if s.nested:
                    raw += padded(s.absmax.numpy().tobytes()) + s.state2.absmax.numpy().tobytes()
                    raw += np.float32(s.offset.item()).tobytes()
                else:
                    raw += s.absmax.numpy().tobytes()
                shape, values = list(s.shape), F.dequantize_4bit(w.data, s).float()
            elif isinstance(module, bnb.nn.Linear8bitLt):
                w = module.weight
                raw = padded(w.data.numpy().tobytes()) + w.SCB.float().numpy().tobytes()
                shape = list(w.shape)
                values = w.data.float() * w.SCB.float()[:, None] / 127
            else:
                continue
            rows[name + ".weight"] = {
                "dtype": kind, "shape": shape, "sha256": hashlib.sha256(raw).hexdigest(),
                "first": values.flatten()[:6].tolist(),
            }
        expected[kind] = rows
    shutil.rmtree(base)
    with open(os.path.join(OUT, "bitsandbytes.json"), "w") as f:
        json.dump({"kinds": expected, "dynamicMap": b64(F.create_dynamic_map().numpy())}, f, indent=1)


# GGUF -----------------------------------------------------------------------------------------------------------------
def kinds_gguf():
    """Every value type and every tensor type; K-quant blocks are random bytes, since `gguf` does not encode them."""
    import gguf

    rng = np.random.default_rng(1)
    path = os.path.join(OUT, "kinds.gguf")
    w = gguf.GGUFWriter(path, "test")
    w.add_uint8("v.u8", 200); w.add_int8("v.i8", -100); w.add_uint16("v.u16", 60000); w.add_int16("v.i16", -30000)
    w.add_uint32("v.u32", 4000000000); w.add_int32("v.i32", -2000000000); w.add_float32("v.f32", 0.1)
    w.add_bool("v.yes", True); w.add_bool("v.no", False); w.add_string("v.text", "naïve 🙂\n")
    w.add_uint64("v.u64", 2**63 + 1); w.add_int64("v.i64", -(2**40)); w.add_float64("v.f64", 0.1)
    w.add_array("v.texts", ["a", "", "ü"]); w.add_array("v.ints", [1, -2, 3]); w.add_array("v.floats", [0.5, -1.5])
    w.add_array("v.flags", [True, False])
    w.add_array("v.bytes", b"\x00\x7f\xff")
    expected = {}

    def add(name, array, qtype, shape):
        if qtype in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.I32):
            w.add_tensor(name, array)
        else:
            w.add_tensor(name, array, raw_dtype=qtype)
        expected[name] = {"dtype": qtype.name.lower(), "shape": shape, "bytes": b64(array)}

    Q = gguf.GGMLQuantizationType
    x = rng.standard_normal((3, 64)).astype(np.float32)
    add("f32", x[:, :5].copy(), Q.F32, [3, 5])
    add("f16", x[:2, :3].astype(np.float16), Q.F16, [2, 3])
    add("bf16", gguf.quants.quantize(x[:, :6].copy(), Q.BF16), Q.BF16, [3, 6])
    add("i32", np.array([1, -1, 7], np.int32), Q.I32, [3])
    add("cube", rng.standard_normal((2, 3, 4)).astype(np.float32), Q.F32, [2, 3, 4])
    for q in (Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0):
        add(q.name.lower(), gguf.quants.quantize(x, q), q, [3, 64])
    for q in (Q.Q4_K, Q.Q5_K, Q.Q6_K):
        bytes_ = gguf.GGML_QUANT_SIZES[q][1]
        add(q.name.lower(), rng.integers(0, 256, (2, bytes_), dtype=np.uint8), q, [2, 256])
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    with open(os.path.join(OUT, "kinds.json"), "w") as f:
        json.dump(expected, f, indent=1)


def interleave(w, heads):
    """Rows as llama.cpp's converter orders them for the interleaved rope: (head, half, i) -> (head, i, half)."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def model_gguf(arch):
    """A random HF model as GGUF; beside it the state and config that transformers loads back from the GGUF."""
    import gguf
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(2)
    common = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                  intermediate_size=64, vocab_size=40, max_position_embeddings=64, rope_theta=50000.0,
                  bos_token_id=1, eos_token_id=2)
    if arch == "llama":
        model = LlamaForCausalLM(LlamaConfig(**common, rms_norm_eps=1e-5, tie_word_embeddings=True))
    elif arch == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**common, rms_norm_eps=1e-6, tie_word_embeddings=False))
    elif arch == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**common, head_dim=16, rms_norm_eps=1e-6, tie_word_embeddings=True))
    elif arch == "gemma3":
        model = Gemma3ForCausalLM(Gemma3TextConfig(**common | dict(num_hidden_layers=6, pad_token_id=0), head_dim=16, rms_norm_eps=1e-6,
                                                   query_pre_attn_scalar=16, sliding_window=8))
    else:
        model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=4, n_positions=64, vocab_size=40,
                                           bos_token_id=1, eos_token_id=2))
    for p in model.parameters():
        p.data += 0.05 * torch.randn_like(p)
    model.save_pretrained(os.path.join(OUT, f"hf_{arch}"))
    os.remove(os.path.join(OUT, f"hf_{arch}", "generation_config.json"))
    c = model.config
    path = os.path.join(OUT, f"{arch}.gguf")
    w = gguf.GGUFWriter(path, arch)
    n_layer = {"gpt2": 1, "gemma3": 6}.get(arch, 2)
    w.add_context_length(64); w.add_embedding_length(32); w.add_block_count(n_layer)
    w.add_feed_forward_length(64 if arch != "gpt2" else 128); w.add_head_count(4)
    if arch == "gpt2":
        w.add_layer_norm_eps(c.layer_norm_epsilon)
    else:
        w.add_head_count_kv(2); w.add_layer_norm_rms_eps(c.rms_norm_eps); w.add_rope_freq_base(c.rope_theta)
        w.add_vocab_size(40)
        if arch == "llama":
            w.add_rope_dimension_count(8)
        if arch == "gemma3":
            w.add_sliding_window(8)
        if arch in ("qwen3", "gemma3"):
            w.add_key_length(16); w.add_value_length(16)
    w.add_bos_token_id(1); w.add_eos_token_id(2)
    w.add_tokenizer_model("gpt2"); w.add_token_list([f"t{i}" for i in range(40)])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch.upper()], n_layer)
    Q = gguf.GGMLQuantizationType
    for name, t in model.state_dict().items():
        stem, suffix = name.rsplit(".", 1)
        to = names.get_name(stem)
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        a = t.float().numpy()
        if arch == "gemma3" and name.endswith("norm.weight"):
            a = a + np.float32(1)
        if arch == "llama" and ("q_proj" in name or "k_proj" in name):
            a = interleave(a, 4 if "q_proj" in name else 2)
        if arch == "gpt2" and any(k in name for k in ("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            a = np.ascontiguousarray(a.T)
        q = Q.F32
        if arch != "gpt2" and a.ndim == 2:
            q = Q.Q4_1 if "k_proj" in name else Q.Q8_0 if "layers.0" in name else Q.F16 if "layers.1" in name else q
        if q == Q.F32:
            w.add_tensor(f"{to}.{suffix}", a)
        elif q == Q.F16:
            w.add_tensor(f"{to}.{suffix}", a.astype(np.float16))
        else:
            w.add_tensor(f"{to}.{suffix}", gguf.quants.quantize(a, q), raw_dtype=q)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()
    # transformers reads context_length as n_ctx only and then expects the default 1024 positions, and no size of heads: hand it the config.
    given = dict(config=model.config) if arch in ("gpt2", "qwen3", "gemma3") else {}
    back = AutoModelForCausalLM.from_pretrained(OUT, gguf_file=f"{arch}.gguf", **given)
    state = {k: v.float().contiguous().clone() for k, v in back.state_dict().items()
             if not (k == "lm_head.weight" and back.config.tie_word_embeddings)}
    save_file(state, os.path.join(OUT, f"{arch}_gguf_by_transformers.safetensors"))
    keys = ["model_type", "vocab_size", "tie_word_embeddings", "bos_token_id", "eos_token_id", "hidden_size",
            "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "num_key_value_heads",
            "intermediate_size", "rms_norm_eps", "rope_theta", "rope_scaling", "head_dim", "n_layer", "n_head", "n_embd",
            "n_ctx", "n_positions", "layer_norm_epsilon"]
    config = back.config.to_dict()
    with open(os.path.join(OUT, f"{arch}_config_by_transformers.json"), "w") as f:
        json.dump({k: config[k] for k in keys if k in config}, f, indent=1)


if __name__ == "__main__":
    plain()
    bitsandbytes()
    kinds_gguf()
    for arch in ("llama", "qwen2", "qwen3", "gemma3", "gpt2"):
        model_gguf(arch)
