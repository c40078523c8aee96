"""64 tokens, greedy, from a GGUF file in llama-cpp-python, behind the prompt of generate.ts. Arguments: {threads, gguf}."""
import json, sys
import llama_cpp
from serve import serve

options = {"threads": 2, **json.loads(sys.argv[1])}
threads = options["threads"]
model = llama_cpp.Llama(options["gguf"], n_ctx=256, n_threads=threads, n_threads_batch=threads, verbose=False)
prompt = [(t * 997 + 13) % 49152 for t in range(16)]


def work():
    model.reset()
    written = 0
    for _ in model.generate(prompt, temp=0.0, repeat_penalty=1.0, reset=True):
        written += 1
        if written == 64:
            break


serve({"llama-cpp-python": llama_cpp.__version__}, work)
