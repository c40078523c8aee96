"""One training step (AdamW) of a BERT-base-shaped classifier under an adapter of Python's `adapters`. Only the adapter trains, and
nothing is dropped, as in step.ts."""
import json, logging, sys
import torch, adapters, transformers
from adapters import DoubleSeqBnConfig, LoRAConfig, PrefixTuningConfig, SeqBnConfig, UniPELTConfig
from serve import serve

options = {"threads": 2, "rows": 16, "tokens": 128, "method": "houlsby", **json.loads((sys.argv[1:] + ["{}"])[0])}
rows, tokens = options["rows"], options["tokens"]
prefix = PrefixTuningConfig(prefix_length=10, bottleneck_size=512)
methods = {
    "houlsby": DoubleSeqBnConfig(reduction_factor=16, non_linearity="gelu"),
    "prefix": prefix,
    "unipelt": UniPELTConfig(prefix, SeqBnConfig(reduction_factor=16), LoRAConfig(r=8)),
}
torch.set_num_threads(options["threads"])
torch.manual_seed(0)
logging.disable(logging.WARNING)
config = transformers.BertConfig(num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
model = transformers.BertForSequenceClassification(config)
adapters.init(model)
model.add_adapter("a", config=methods[options["method"]])
model.train_adapter("a")
for name, p in model.named_parameters():
    if name.startswith("classifier"):
        p.requires_grad_(False)
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
ids = torch.tensor([[(b * 7919 + t * 997 + 13) % config.vocab_size for t in range(tokens)] for b in range(rows)])
labels = torch.arange(rows) % 2


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    loss.backward()
    optimizer.step()
    loss.item()


serve({"torch": torch.__version__, "adapters": adapters.__version__, "transformers": transformers.__version__}, step)
