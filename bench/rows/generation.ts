/** Text from a SmolLM2-135M-shaped model, one sequence: 16 tokens read, 64 written, each the likeliest. */
import { atMost, ours, type Own, python, type Row, rowOn } from "../row.ts";

/** The file named by BENCH_GGUF, SmolLM2-135M with Q4_1 weights; the row reports if it is missing. */
const gguf = Deno.env.get("BENCH_GGUF") ?? "";

/** Rows on a backend. */
export const generationOn = (backend: Own): readonly Row[] => [
  rowOn(backend, {
    name: "generation",
    what: "64 tokens of SmolLM2-135M, f32, two threads",
    repetitions: 5,
    warmUp: 2,
    peers: [
      ours(backend, "generate.ts", {}),
      atMost(1, python("transformers", "generate.py", {})),
    ],
  }),
  rowOn(backend, {
    name: "generation-q4",
    what: "the same from a Q4_1 file",
    repetitions: 5,
    warmUp: 2,
    peers: [
      ours(backend, "generate.ts", { gguf }),
      atMost(2, python("llama-cpp-python", "generate_llama_cpp.py", { gguf })),
      ours(backend, "generate.ts", {}, "our own from f32"),
    ],
  }),
];
