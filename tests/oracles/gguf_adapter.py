"""Golden GGUF adapters, made by llama.cpp's own convert_lora_to_gguf.py from PEFT's golden folders.

  python tests/oracles/gguf_adapter.py PATH_TO_LLAMA_CPP

PATH_TO_LLAMA_CPP is a checkout (PyPI's llama-cpp-python source package has one under vendor/). GPT-2 is not among the
cases: the converter turns the factors of its Conv1D layers, and llama.cpp then refuses the file.
"""

import os
import pathlib
import subprocess
import sys

GOLDEN = pathlib.Path(__file__).parent / "golden"
CASES = {
    "random": "llama_lora/base",  # grouped queries: q and k are interleaved by different numbers of heads
    "all_linear": "peft_folders/bases/llama_untied",
    "embedding_untied": "peft_folders/bases/llama_untied",  # token_embd's A is turned; output
    "gaussian": "peft_folders/bases/qwen2",  # nothing is interleaved
}

llama_cpp = pathlib.Path(sys.argv[1])
environment = {**os.environ, "PYTHONPATH": str(llama_cpp / "gguf-py")}
for name, base in CASES.items():
    command = [sys.executable, llama_cpp / "convert_lora_to_gguf.py", "--outtype", "f32"]
    out = GOLDEN / "gguf_adapter" / f"{name}.gguf"
    arguments = ["--outfile", out, "--base", GOLDEN / base, GOLDEN / "peft_folders" / name]
    subprocess.run([*command, *arguments], check=True, env=environment)
