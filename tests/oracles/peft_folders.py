"""Golden adapter folders: what HF PEFT writes for each feature of LoRA, (IA)3, layer-norm tuning and trainable tokens, with logits, loss and
the gradient of every trained parameter under the key that the folder gives it.

Made by transformers 4.57 and peft 0.21 on CPU in float32. Run from the repository root:
    python tests/oracles/peft_folders.py [case ...]
Writes tests/oracles/golden/peft_folders/bases/ and tests/oracles/golden/peft_folders/<case>/. The tied Llama is that of llama_lora.py.
"""
import json, os, shutil, sys, warnings
import torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM, GPT2Config, GPT2LMHeadModel,
                          LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM)
from peft import (IA3Config, LNTuningConfig, LoraConfig, TrainableTokensConfig, get_peft_model,
                  get_peft_model_state_dict)

warnings.filterwarnings("ignore")
ROOT = "tests/oracles/golden/peft_folders"
BASES = {"llama_tied": "tests/oracles/golden/llama_lora/base", "bert": "tests/oracles/golden/encoders/bert_mask",
         "t5": "tests/oracles/golden/encoders/t5",
         "qwen2_window": "tests/oracles/golden/models/qwen2_window", "mistral": "tests/oracles/golden/models/mistral_window",
         **{name: f"tests/oracles/golden/models/{name}" for name in ("qwen3", "gemma", "gemma3_linear_rope")}}
IDS = torch.tensor([[5, 9, 31, 2, 7, 7, 12], [36, 1, 0, 4, 8, 3, 3]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]])
LABELS = torch.tensor([[-100, -100, 31, 2, 7, 7, 12], [-100, 1, 0, 4, 8, -100, -100]])


def make_base(name, model):
    torch.manual_seed(len(name))
    with torch.no_grad():
        for n, p in model.named_parameters():
            one = 1.0 if p.dim() == 1 and "bias" not in n else 0.0
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + one)
    BASES[name] = f"{ROOT}/bases/{name}"
    model.save_pretrained(BASES[name])


LLAMA = dict(vocab_size=37, hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=32, rms_norm_eps=1e-5, rope_theta=500.0)
make_base("llama_untied", LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False)))
make_base("qwen2", Qwen2ForCausalLM(Qwen2Config(**LLAMA, tie_word_embeddings=True)))
make_base("gpt2", GPT2LMHeadModel(GPT2Config(vocab_size=37, n_embd=12, n_layer=2, n_head=2, n_positions=32,
                                             attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)))


def lora(**options):
    return LoraConfig(**{"task_type": "CAUSAL_LM", "r": 3, "lora_alpha": 5, **options})


def ia3(**options):
    return IA3Config(task_type="CAUSAL_LM", **options)


QV = ["q_proj", "v_proj"]
CASES = {
    "default_targets": ("llama_tied", lambda: lora()),
    "all_linear": ("llama_untied", lambda: lora(target_modules="all-linear", r=2)),
    "regex": ("llama_tied", lambda: lora(target_modules=r".*\.(?P<part>self_attn|mlp)\.(k|up)_proj")),
    "exclude_list": ("llama_tied", lambda: lora(target_modules=["q_proj", "down_proj"],
                                                exclude_modules=["layers.1.mlp.down_proj"])),
    "exclude_regex": ("llama_tied", lambda: lora(target_modules=QV, exclude_modules=r".*\.0\..*v_proj")),
    "layers": ("llama_tied", lambda: lora(target_modules=QV, layers_to_transform=[1], layers_pattern="layers")),
    "one_layer": ("llama_tied", lambda: lora(target_modules=QV, layers_to_transform=0)),
    "patterns": ("llama_tied", lambda: lora(target_modules=QV, rank_pattern={r"layers\.1\.self_attn\.q_proj": 5},
                                            alpha_pattern={"v_proj": 7}, use_rslora=True)),
    "patterns_named": ("llama_tied", lambda: lora(
        target_modules=QV, rank_pattern={r"model\.layers\.(?P<n>\d)\..*q_proj": 5}, alpha_pattern={
            r"(?P<n>1)\.self_attn\.(?i:V_PROJ)": 7, r"layers\.(?P<n>0).*_proj\Z": 11})),
    # What a fresh adapter of ours would refuse: names twice or of nothing, patterns that decide nothing or meet.
    "patterns_loose": ("llama_tied", lambda: lora(
        target_modules=["q_proj", "self_attn.q_proj", "v_proj"], exclude_modules=["mlp.nothing"], alpha_pattern={"up_proj": 3},
        rank_pattern={"down_proj": 7, r"layers\.0\..*": 2, "q_proj": 4})),
    "lora_bias": ("qwen2", lambda: lora(target_modules=["q_proj", "up_proj"], lora_bias=True)),
    "bias_all": ("qwen2", lambda: lora(target_modules=["q_proj", "down_proj"], bias="all")),
    "bias_only": ("qwen2", lambda: lora(target_modules=["q_proj", "down_proj"], bias="lora_only")),
    "gaussian": ("qwen2", lambda: lora(init_lora_weights="gaussian", lora_dropout=0.25)),
    "orthogonal": ("qwen2", lambda: lora(init_lora_weights="orthogonal", r=4)),
    "random": ("llama_tied", lambda: lora(init_lora_weights=False)),
    "embedding_tied": ("llama_tied", lambda: lora(target_modules=["embed_tokens", "q_proj"])),
    "head_tied": ("llama_tied", lambda: lora(target_modules=["lm_head", "q_proj"])),
    # One storage for the factors of both in PEFT, under two names with gradients of their own.
    "embedding_ensured": ("llama_tied", lambda: lora(target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True)),
    "head_ensured": ("llama_tied", lambda: lora(target_modules=["lm_head", "q_proj"], ensure_weight_tying=True,
                                                use_rslora=True, layers_to_transform=None)),
    "embedding_changed": ("llama_tied", lambda: lora(target_modules=["embed_tokens", "q_proj"])),
    "head_changed": ("llama_untied", lambda: lora(target_modules=["lm_head", "q_proj"])),
    "embedding_untied": ("llama_untied", lambda: lora(target_modules=["embed_tokens", "lm_head", "o_proj"])),
    "save_head_tied": ("llama_tied", lambda: lora(target_modules=QV, modules_to_save=["lm_head"])),
    "save_embedding_tied": ("llama_tied", lambda: lora(target_modules=QV, modules_to_save=["embed_tokens"])),
    "save_embedding_ensured": ("llama_tied", lambda: lora(target_modules=QV, modules_to_save=["embed_tokens"],
                                                          ensure_weight_tying=True)),
    "save_both_tied": ("llama_tied", lambda: lora(target_modules=QV, modules_to_save=["lm_head", "embed_tokens"])),
    "save_both": ("llama_untied", lambda: lora(target_modules=QV, modules_to_save=["lm_head", "embed_tokens"])),
    "save_norms": ("llama_tied", lambda: lora(target_modules="all-linear", r=1,
                                              modules_to_save=["norm", "layers.1.mlp"])),
    "tokens_tied": ("llama_tied", lambda: lora(target_modules=QV, trainable_token_indices=[7, 3, 36])),
    "tokens_untied": ("llama_untied", lambda: lora(target_modules=QV, trainable_token_indices={
        "embed_tokens": [7, 3, 36], "lm_head": [1, 2]})),
    # Rows of the tied head alone: the embedding keeps its own.
    "tokens_head": ("llama_tied", lambda: lora(target_modules=QV, trainable_token_indices={"lm_head": [2, 30]})),
    "only_tokens": ("llama_untied", lambda: TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[0, 7])),
    "only_tokens_tied": ("qwen2", lambda: TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[7, 31],
                                                                target_modules=["embed_tokens"])),
    # Rows of one table under the four names that T5 has for it.
    "only_tokens_t5": ("t5", lambda: TrainableTokensConfig(task_type="SEQ_2_SEQ_LM", token_indices=[7, 31])),
    # A tied head of T5 scales its scores, and one of its own does not.
    "head_t5": ("t5", lambda: lora(task_type="SEQ_2_SEQ_LM", target_modules=["lm_head", "EncDecAttention.q"])),
    "ia3_llama": ("llama_tied", lambda: ia3()),
    "ia3_qwen2": ("qwen2", lambda: ia3()),
    "ia3_custom": ("qwen2", lambda: ia3(target_modules=["k_proj", "up_proj", "o_proj"], feedforward_modules=["o_proj"],
                                        exclude_modules=["layers.0.mlp.up_proj"], modules_to_save=["norm"])),
    "gpt2_lora": ("gpt2", lambda: lora()),
    "gpt2_bias": ("gpt2", lambda: lora(target_modules=["c_attn", "mlp.c_proj"], bias="all", fan_in_fan_out=True)),
    # Biases of saved modules stand in the file under the names of PEFT's wrappers as well.
    "gpt2_bias_saved": ("gpt2", lambda: lora(target_modules=["c_attn", "mlp.c_proj"], bias="all",
                                             modules_to_save=["ln_f", "h.1.mlp"], fan_in_fan_out=True)),
    "bias_saved": ("qwen2", lambda: lora(target_modules=["q_proj", "down_proj"], bias="all", modules_to_save=["k_proj"])),
    "gpt2_embedding": ("gpt2", lambda: lora(target_modules=["wte", "wpe", "c_fc"])),
    "gpt2_all_linear": ("gpt2", lambda: lora(target_modules="all-linear", r=1)),
    "gpt2_ia3": ("gpt2", lambda: ia3()),
    "gpt2_dora": ("gpt2", lambda: lora(target_modules=["c_attn", "lm_head"], use_dora=True, use_rslora=True)),
    "norms": ("llama_tied", lambda: LNTuningConfig(task_type="CAUSAL_LM")),
    "norms_gpt2": ("gpt2", lambda: LNTuningConfig(task_type="CAUSAL_LM", modules_to_save=["lm_head"])),
    "norms_qwen2": ("qwen2", lambda: LNTuningConfig(task_type="CAUSAL_LM")),
    "norms_excluded": ("llama_untied", lambda: LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm", "norm"],
                                                              exclude_modules=["layers.0.input_layernorm"])),
    "embedding_dora": ("llama_tied", lambda: lora(target_modules=["embed_tokens", "q_proj"], use_dora=True)),
    "gpt2_embedding_dora": ("gpt2", lambda: lora(target_modules=["wte", "wpe", "c_attn"], use_dora=True, use_rslora=True)),
    "dora": ("llama_tied", lambda: lora(target_modules=["q_proj", "down_proj"], use_dora=True)),
    # Layers of the base several times, or not at all, under adapters of their own.
    "replicated": ("llama_untied", lambda: lora(target_modules=QV, layer_replication=[[0, 2], [0, 2]],
                                                rank_pattern={r"layers\.2\.self_attn\.q_proj": 5})),
    "replicated_one": ("qwen2", lambda: lora(target_modules="all-linear", r=2, layer_replication=[[1, 2]])),
    "replicated_turned": ("llama_tied", lambda: lora(target_modules=["q_proj", "down_proj"], use_dora=True, use_rslora=True,
                                                     layer_replication=[[1, 2], [0, 1]])),
    "replicated_beside": ("llama_tied", lambda: lora(target_modules=QV, layers_to_transform=[2], layer_replication=[[0, 2], [1, 2], [1, 2]],
                                                     modules_to_save=["layers.3.mlp"], trainable_token_indices=[7, 3])),
    # A copy looks back as far as the layer that it is of.
    "replicated_windows": ("qwen2_window", lambda: lora(target_modules=["o_proj"], layer_replication=[[0, 2], [0, 3]])),
    "replicated_mistral": ("mistral", lambda: lora(target_modules=["down_proj"], layer_replication=[[0, 2], [1, 2]])),
    "replicated_bert": ("bert", lambda: lora(task_type=None, target_modules=["query", "output.dense"],
                                             layer_replication=[[0, 3], [1, 3]])),
    # Matrices by the names of parameters.
    "parameters": ("llama_tied", lambda: lora(target_modules=[], target_parameters=["mlp.down_proj.weight"])),
    "parameters_beside": ("qwen2", lambda: lora(
        target_modules=["v_proj"], target_parameters=["q_proj.weight", "lm_head.weight"], bias="lora_only", use_rslora=True,
        layers_to_transform=[1], rank_pattern={"q_proj": 5, r"layers\.1\.self_attn\.q_proj\.weight": 4},
        alpha_pattern={"q_proj.weight": 7, "v_proj": 2})),
    "parameters_turned": ("gpt2", lambda: lora(target_modules=[],
                                               target_parameters=["c_attn.weight", "transformer.wte.weight"])),
    # Normalised heads; tables whose rows enter enlarged.
    "qwen3_all_linear": ("qwen3", lambda: lora(target_modules="all-linear", use_dora=True)),
    "qwen3_norms": ("qwen3", lambda: LNTuningConfig(task_type="CAUSAL_LM", target_modules=["q_norm", "k_norm", "norm"])),
    "qwen3_ia3": ("qwen3", lambda: ia3()),
    "gemma_embedding": ("gemma", lambda: lora(target_modules=["embed_tokens", "gate_proj"])),
    "gemma3_embedding": ("gemma3_linear_rope", lambda: lora(target_modules=["embed_tokens", "o_proj"], use_rslora=True)),
    "gemma3_tokens": ("gemma3_linear_rope", lambda: lora(target_modules=["v_proj"], trainable_token_indices=[3, 9, 31])),
    "gemma3_norms": ("gemma3_linear_rope", lambda: LNTuningConfig(task_type="CAUSAL_LM")),
    "gemma3_ia3": ("gemma3_linear_rope", lambda: ia3()),
}


def base(name):
    of = {"bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM}.get(name, AutoModelForCausalLM)
    model = of.from_pretrained(BASES[name], dtype=torch.float32, attn_implementation="eager")
    if name not in ("bert", "t5"):  # torch gives no gradient to the row of padding, which is a word of the batch
        model.get_input_embeddings().padding_idx = None
    return model


def disturb(m, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, p in m.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=generator) * 0.2)


def changed(model, name):
    """A base whose embedding or head was re-initialised before training, as after a change of the vocabulary."""
    table = {"embedding_changed": model.get_input_embeddings(), "head_changed": model.get_output_embeddings()}.get(name)
    if table is not None:
        with torch.no_grad():
            table.weight[30:].normal_()
    return model


def case(name):
    which, make = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    m = get_peft_model(changed(base(which), name), make())
    disturb(m, 1)
    m.eval()
    # PEFT's deeper Qwen2 has no room in its cache: the list of its windows is the shallower one's.
    out = m(input_ids=IDS, attention_mask=MASK, labels=LABELS, **{"use_cache": False} if "windows" in name else {})
    out.loss.backward()
    expected = {"logits": out.logits.detach().contiguous(), "loss": out.loss.detach().reshape(1)}
    # The saver itself maps names to keys: it is given gradients in place of the parameters.
    parameters = dict(m.named_parameters())
    state = {n: parameters[n].grad if n in parameters else None for n in m.state_dict()}
    for key, gradient in get_peft_model_state_dict(m, state_dict=state, save_embedding_layers=False).items():
        if gradient is not None and ".modules_to_save." not in key:
            expected["grad." + key] = gradient.contiguous()
    folder = f"{ROOT}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    json.dump({"base": BASES[which].removeprefix("tests/oracles/golden/")}, open(f"{folder}/case.json", "w"))
    print(name, {k: list(v.shape) for k, v in expected.items() if k.startswith("grad")} if len(sys.argv) > 1 else "")


def several():
    """One folder with a root adapter and a named one, the latter in bfloat16."""
    folder = f"{ROOT}/several"
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(3)
    m = get_peft_model(base("llama_tied"), lora(target_modules=QV))
    m.add_adapter("other", lora(target_modules=["o_proj"], r=2))
    for adapter in ["default", "other"]:
        m.set_adapter(adapter)
        disturb(m, 5)
    with torch.no_grad():
        for n, p in m.named_parameters():
            if ".other." in n:
                p.data = p.data.to(torch.bfloat16).float()
    expected = {}
    for adapter in ["default", "other"]:
        m.set_adapter(adapter)
        expected[adapter] = m.eval()(input_ids=IDS, attention_mask=MASK).logits.detach().contiguous()
    for n, p in m.named_parameters():
        if ".other." in n:
            p.data = p.data.to(torch.bfloat16)
    m.save_pretrained(folder)
    save_file(expected, f"{folder}/expected.safetensors")
    os.remove(f"{folder}/README.md")
    for adapter in ["other"]:
        readme = f"{folder}/{adapter}/README.md"
        if os.path.exists(readme):
            os.remove(readme)


json.dump({"inputIds": IDS.tolist(), "attentionMask": MASK.tolist(), "labels": LABELS.tolist()},
          open(f"{ROOT}/batch.json", "w"))
for wanted in sys.argv[1:] or CASES:
    case(wanted)
if len(sys.argv) == 1:
    several()
