"""64 tokens from a SmolLM2-135M-shaped model in transformers. Arguments: {threads}."""
import json, sys
import torch, transformers
from serve import serve

options = {"threads": 2, **json.loads((sys.argv[1:] + ["{}"])[0])}
torch.set_num_threads(options["threads"])
torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5, rope_theta=100000.0,
    tie_word_embeddings=True, eos_token_id=None, bos_token_id=None)
model = transformers.LlamaForCausalLM(config).eval()
ids = torch.tensor([[(t * 997 + 13) % 49152 for t in range(16)]])


def work():
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False, use_cache=True)
    assert out.shape[1] == 80


serve({"torch": torch.__version__, "transformers": transformers.__version__}, work)
