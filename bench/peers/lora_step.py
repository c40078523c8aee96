"""One LoRA step of a SmolLM2-135M-shaped model in PyTorch + PEFT; the protocol of bench/peer.ts."""
import json, sys, time, resource
import torch, peft, transformers
from transformers import LlamaConfig, LlamaForCausalLM
from peft import LoraConfig, get_peft_model

threads, rows, tokens, labelled = (int(a) for a in (sys.argv[1:] + ["2", "1", "128", "128"])[:4])
torch.set_num_threads(threads)
torch.manual_seed(0)
config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                     num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192, rms_norm_eps=1e-5,
                     rope_theta=100000.0, tie_word_embeddings=True, use_cache=False)
model = get_peft_model(LlamaForCausalLM(config), LoraConfig(
    r=8, lora_alpha=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)
ids = torch.tensor([[(b * 7919 + t * 997 + 13) % 49152 for t in range(tokens)] for b in range(rows)])
labels = ids.clone()
labels[:, : tokens - labelled] = -100
print(json.dumps({"torch": torch.__version__, "peft": peft.__version__, "transformers": transformers.__version__}), flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    optimizer.step()
    loss.item()
    elapsed = (time.perf_counter() - start) * 1000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"milliseconds": elapsed, "peakBytes": peak}), flush=True)
