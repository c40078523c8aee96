/** Text from a SmolLM2-135M-shaped model, one sequence: 16 tokens read, 64 written. */
import { atMost, python, type Row, script } from "../row.ts";

/** The rows. */
export const generation: readonly Row[] = [
  {
    name: "generation",
    what: "64 tokens of SmolLM2-135M, f32, two threads",
    repetitions: 5,
    warmUp: 2,
    peers: [
      script("graft", "generate.ts", {}),
      atMost(1, python("transformers", "generate.py", {})),
    ],
  },
  {
    name: "generation-q4",
    what: "the same from Q4_1 weights, of our own from f32",
    repetitions: 5,
    warmUp: 2,
    peers: [
      script("Q4_1", "generate.ts", { weights: "q4_1" }),
      script("f32", "generate.ts", {}),
    ],
  },
];
