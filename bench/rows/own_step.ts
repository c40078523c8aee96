/**
 * The cost of other ways to train, relative to our own LoRA step of SmolLM2-135M: rank 8 on q, k, v, o, 1x128
 * tokens, two threads.
 */
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

interface GenerationRequest {
  readonly name: string;
  readonly what: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly time?: number;
}

const REPARAMETRISED: readonly GenerationRequest[] = [
  { name: "lokr", what: "LoKr", options: { method: "lokr" }, time: 1.1 },
  { name: "krona", what: "KronA", options: { method: "krona" }, time: 1.1 },
  { name: "dora", what: "DoRA", options: { method: "dora" }, time: 1.1 },
  { name: "loha", what: "LoHa", options: { method: "loha" }, time: 1.12 },
  { name: "vera", what: "VeRA of rank 256", options: { method: "vera", rank: 256 }, time: 1.3 },
  { name: "ia3", what: "(IA)³", options: { method: "ia3" }, time: 0.95 },
  {
    name: "least",
    what: "the least that reaches the first block, its first norm's weight alone",
    options: { method: "first-norm" },
  },
  { name: "said", what: "Intrinsic SAID on q, k, v, o", options: { method: "said" }, time: 1.5 },
];

/**
 * Steps of reparametrised methods on a backend. Their targets were set relative to WebAssembly's LoRA step;
 * the native one takes a third of its time, so the same extra work is a larger share.
 */
export const reparametrisedSteps = (backend: Own): readonly Row[] => [
  ofLora(backend, "qlora-step", "QLoRA (NF4, double quantization)", { weights: "nf4_double" }, 1.15),
  ...REPARAMETRISED.map(({ name, what, options, time }) =>
    ofLora(backend, `method-${name}`, what, options, backend === "wasm" ? time : undefined)
  ),
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
