/**
 * Training steps against PyTorch + PEFT: LoRA of rank 8 on q, k, v, o; AdamW; f32 on both sides; two threads.
 * Other methods on BERT-base against Python's `adapters`, with the same sizes.
 */
import { atMost, ours, type Own, type PeerCommand, python, type Row, rowOn, script } from "../row.ts";

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

const againstAdapters = (backend: Own, method: string, what: string): Row => {
  const options = { model: "bert", rows: 16, method };
  return rowOn(backend, {
    name: `bert-${method}`,
    what: `${what} step, BERT-base with two classes, 16x128`,
    repetitions: 3,
    warmUp: 1,
    peers: [ours(backend, "step.ts", options), python("PyTorch + adapters", "adapters_step.py", options)],
  });
};

/** Steps of the methods in LyCORIS, on a backend. */
export const lycorisSteps = (backend: Own): readonly Row[] =>
  ([["lokr", "LoKr"], ["loha", "LoHa"]] as const).map(([method, what]) =>
    rowOn(backend, {
      name: `lycoris-${method}`,
      what: `${what} step, SmolLM2-135M, 1x128 tokens`,
      repetitions: 5,
      warmUp: 1,
      peers: [
        ours(backend, "step.ts", { method }),
        python("PyTorch + LyCORIS", "step.py", { method }),
      ],
    })
  );

/**
 * The step in the other JavaScript runtimes, as `bench/same_losses.ts` shows: with equal numbers of threads,
 * and with all that each finds.
 */
export const inRuntimes = (backend: Own): readonly Row[] => {
  const row = (name: string, what: string, ...peers: readonly PeerCommand[]): Row =>
    rowOn(backend, { name: `lora-step-${name}`, what, repetitions: 5, warmUp: 1, peers });
  const all = { threads: navigator.hardwareConcurrency };
  const [tfjs, jax] = [script("tfjs", "lora_tfjs.ts"), script("jax-js", "lora_jax.ts")];
  return [
    row(
      "tfjs",
      "LoRA step, SmolLM2-135M, 1x128 tokens, all labelled, one thread",
      ours(backend, "step.ts", { threads: 1 }),
      atMost(1 / 3.4, tfjs),
    ),
    row("jax", "the same, a thread a core", ours(backend, "step.ts", all), atMost(1 / 6, jax)),
    row(
      "all-threads",
      "the same with all threads that each finds here",
      ours(backend, "step.ts", all),
      tfjs,
      jax,
      python("PyTorch + PEFT", "step.py", all),
    ),
  ];
};

/** Steps of methods in Python's `adapters`, on a backend. */
export const adapterSteps = (backend: Own): readonly Row[] => [
  againstAdapters(backend, "houlsby", "Houlsby"),
  againstAdapters(backend, "prefix", "prefix tuning"),
  againstAdapters(backend, "unipelt", "UniPELT"),
];

/** The rows. */
export const steps: readonly Row[] = [
  ...loraSteps("wasm"),
  ...inRuntimes("wasm"),
  ...adapterSteps("wasm"),
  ...lycorisSteps("wasm"),
];
