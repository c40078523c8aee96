"""One training step (rank 8, AdamW) of a SmolLM2-135M- or BERT-base-shaped model in PyTorch: LoRA by PEFT, LoKr and LoHa by LyCORIS."""
import json, sys
import torch, transformers
from serve import serve

options = {"threads": 2, "rows": 1, "tokens": 128, "model": "smollm2", "method": "lora", **json.loads((sys.argv[1:] + ["{}"])[0])}
rows, tokens = options["rows"], options["tokens"]
torch.set_num_threads(options["threads"])
torch.manual_seed(0)
if options["model"] == "bert":
    config = transformers.BertConfig(num_labels=2)
    model, targets = transformers.BertForSequenceClassification(config), ["query", "key", "value", "attention.output.dense"]
else:
    config = transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0,
        tie_word_embeddings=True, use_cache=False)
    model, targets = transformers.LlamaForCausalLM(config), ["q_proj", "k_proj", "v_proj", "o_proj"]
if options["method"] == "lora":
    import peft

    model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=8, target_modules=targets))
    trained, library = [p for p in model.parameters() if p.requires_grad], {"peft": peft.__version__}
else:
    import lycoris
    from importlib.metadata import version

    model.requires_grad_(False)
    lycoris.LycorisNetwork.apply_preset({"target_module": [], "target_name": [f".*{name}" for name in targets]})
    network = lycoris.create_lycoris(model, 1.0, linear_dim=8, linear_alpha=8, algo=options["method"])
    network.apply_to()
    trained, library = list(network.parameters()), {"lycoris": version("lycoris-lora")}
model.train()
optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
ids = torch.tensor([[(b * 7919 + t * 997 + 13) % config.vocab_size for t in range(tokens)] for b in range(rows)])
if options["model"] == "bert":
    labels = torch.arange(rows) % 2
else:
    labels = ids.clone()
    labels[:, : tokens - options.get("labelled", tokens)] = -100


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    loss.item()


serve({"torch": torch.__version__, **library, "transformers": transformers.__version__}, step)
