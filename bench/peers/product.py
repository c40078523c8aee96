"""y = x Wᵀ in PyTorch. Arguments as bench/peers/product.ts."""
import json, sys
import torch
from serve import serve

options = {"threads": 1, "times": 20, **json.loads(sys.argv[1])}
torch.set_num_threads(options["threads"])
x, w = torch.randn(options["m"], options["k"]), torch.randn(options["n"], options["k"])
serve({"torch": torch.__version__}, lambda: x @ w.T, options["times"])
