"""One training step with LoRA (rank 8, AdamW) of a SmolLM2-135M- or BERT-base-shaped model in PyTorch + PEFT."""
import json, sys
import torch, peft, transformers
from peft import LoraConfig, get_peft_model
from serve import serve

options = {"threads": 2, "rows": 1, "tokens": 128, "model": "smollm2", **json.loads((sys.argv[1:] + ["{}"])[0])}
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
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=8, target_modules=targets))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
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


serve({"torch": torch.__version__, "peft": peft.__version__, "transformers": transformers.__version__}, step)
