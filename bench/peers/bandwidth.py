"""Copies 256 MiB in PyTorch. Arguments: {threads}."""
import json, sys
import torch
from serve import serve

options = {"threads": 2, **json.loads((sys.argv[1:] + ["{}"])[0])}
torch.set_num_threads(options["threads"])
source, target = torch.zeros(1 << 26), torch.ones(1 << 26)
serve({"torch": torch.__version__}, lambda: target.copy_(source), 3)
