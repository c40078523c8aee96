"""Factorisations in PyTorch. Arguments as bench/peers/factor.ts."""
import json, sys
import torch
from serve import serve

options = {"threads": 2, "what": "svd", **json.loads(sys.argv[1])}
torch.set_num_threads(options["threads"])
x = torch.randn(2048, 16 if options["what"] == "qr" else 2048)
work = (lambda: torch.svd_lowrank(x, q=16, niter=4)) if options["what"] == "svd" else (lambda: torch.linalg.qr(x))
serve({"torch": torch.__version__}, work, {"qr": 200, "svd": 8}.get(options["what"], 1))
