/** What other ways to train cost, of our own LoRA step of SmolLM2-135M: rank 8 on q, k, v, o, 1x128 tokens, two threads. */
import { atMost, ours, type Own, type Row, rowOn, script } from "../row.ts";

const ofLora = (
  backend: Own,
  name: string,
  what: string,
  options: Readonly<Record<string, unknown>>,
  time?: number,
): Row => {
  const lora = ours(backend, "step.ts", {}, "LoRA");
  return rowOn(backend, {
    name,
    what: `${what}, of our own LoRA step`,
    repetitions: 5,
    warmUp: 1,
    peers: [ours(backend, "step.ts", options, what), time === undefined ? lora : atMost(time, lora)],
  });
};

/** Steps of reparametrised methods on a backend. */
export const reparametrisedSteps = (backend: Own): readonly Row[] => [
  ofLora(backend, "qlora-step", "QLoRA (NF4, double quantization)", { weights: "nf4_double" }, 1.15),
  ofLora(backend, "method-lokr", "LoKr", { method: "lokr" }, 1.1),
  ofLora(backend, "method-krona", "KronA", { method: "krona" }, 1.1),
  ofLora(backend, "method-dora", "DoRA", { method: "dora" }, 1.1),
  ofLora(backend, "method-loha", "LoHa", { method: "loha" }, 1.12),
  ofLora(backend, "method-vera", "VeRA of rank 256", { method: "vera", rank: 256 }, 1.3),
  ofLora(backend, "method-ia3", "(IA)³", { method: "ia3" }, 0.95),
  ofLora(backend, "method-least", "the least that reaches the first block, its first norm's weight alone", {
    method: "first-norm",
  }),
  ofLora(backend, "method-said", "Intrinsic SAID on q, k, v, o", { method: "said" }, 1.5),
];

/** The rows. */
export const ownSteps: readonly Row[] = [
  ...reparametrisedSteps("wasm"),
  ofLora("wasm", "method-said-whole", "Intrinsic SAID on the whole model", { method: "said-whole" }),
  ofLora("wasm", "method-houlsby", "Houlsby's adapter", { method: "houlsby" }, 1.1),
  ofLora("wasm", "method-pfeiffer", "Pfeiffer's adapter", { method: "pfeiffer" }, 1.1),
  ofLora("wasm", "method-prefix", "prefix tuning", { method: "prefix" }, 1.1),
  ofLora("wasm", "method-prompt", "prompt tuning", { method: "prompt" }, 1.1),
  ofLora("wasm", "method-compacter", "Compacter", { method: "compacter" }, 1.1),
  ofLora("wasm", "method-ladder", "ladder side-tuning", { method: "ladder" }, 0.75),
  {
    name: "ladder-activations",
    what:
      "what lives beside weights, parameters and moments in a step of ladder side-tuning, of that in our own LoRA step",
    repetitions: 3,
    warmUp: 1,
    peers: [
      script("ladder side-tuning", "step.ts", { method: "ladder", bytes: "activations" }),
      atMost(0.75, script("LoRA", "step.ts", { bytes: "activations" }), 0.5),
    ],
  },
  {
    name: "checkpoint",
    what: "blocks computed again in the backward pass, 1x256 tokens, of the step without",
    repetitions: 5,
    warmUp: 1,
    peers: [
      script("recomputed", "step.ts", { tokens: 256, checkpoint: true }),
      atMost(1.35, script("LoRA", "step.ts", { tokens: 256 })),
    ],
  },
];
