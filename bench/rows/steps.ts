/**
 * Training steps against PyTorch + PEFT: LoRA of rank 8 on q, k, v, o; AdamW; f32 on both sides; two threads. Other methods on
 * BERT-base against Python's `adapters`, under the same sizes.
 */
import { atMost, ours, type Own, python, type Row, rowOn, script } from "../row.ts";

const against = (
  backend: Own,
  name: string,
  what: string,
  options: Readonly<Record<string, unknown>>,
  repetitions: number,
  time: number,
  memory?: number,
): Row =>
  rowOn(backend, {
    name,
    what,
    repetitions,
    warmUp: repetitions > 5 ? 2 : 1,
    peers: [
      ours(backend, "step.ts", options),
      atMost(time, python("PyTorch + PEFT", "step.py", options), memory),
    ],
  });

/** LoRA steps on a backend. */
export const loraSteps = (backend: Own): readonly Row[] => [
  against(backend, "lora-step", "LoRA step, SmolLM2-135M, 1x128 tokens, all labelled", {}, 9, 1.2, 0.75),
  against(backend, "lora-step-answers", "the same, 32 of 128 tokens labelled", { labelled: 32 }, 9, 1),
  against(backend, "lora-step-4x256", "the same at 4x256 tokens", { rows: 4, tokens: 256 }, 4, 1.1),
  against(
    backend,
    "bert-step",
    "LoRA step, BERT-base with two classes, 16x128",
    { model: "bert", rows: 16 },
    3,
    1.1,
  ),
];

const againstAdapters = (method: string, what: string): Row => {
  const options = { model: "bert", rows: 16, method };
  return {
    name: `bert-${method}`,
    what: `${what} step, BERT-base with two classes, 16x128`,
    repetitions: 3,
    warmUp: 1,
    peers: [script("graft", "step.ts", options), python("PyTorch + adapters", "adapters_step.py", options)],
  };
};

/** The rows. */
export const steps: readonly Row[] = [
  ...loraSteps("wasm"),
  againstAdapters("houlsby", "Houlsby"),
  againstAdapters("prefix", "prefix tuning"),
  againstAdapters("unipelt", "UniPELT"),
];
