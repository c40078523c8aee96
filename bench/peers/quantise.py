"""NF4 of a matrix [n, n] in bitsandbytes, on the CPU. Arguments as bench/peers/quantise.ts."""
import json, sys
import torch, bitsandbytes
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from serve import serve

options = {"threads": 2, "n": 2048, "what": "decode", **json.loads(sys.argv[1])}
torch.set_num_threads(options["threads"])
plain = torch.randn(options["n"], options["n"])
coded, state = quantize_4bit(plain, quant_type="nf4", blocksize=64)


def work():
    if options["what"] == "decode":
        dequantize_4bit(coded, state)
    else:
        quantize_4bit(plain, quant_type="nf4", blocksize=64)


serve({"bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__}, work, 5)
