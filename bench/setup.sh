#!/usr/bin/env bash
# `deno task bench:setup`: the Python peers, in .venv beside the project.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/pip install --quiet "torch==2.15.*" "transformers==4.57.*" "peft==0.21.*" "adapters==1.3.*" "lycoris-lora==4.*" "llama-cpp-python==0.3.*" bitsandbytes safetensors gguf rouge-score
