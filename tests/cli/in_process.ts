/** `graft finetune` without a process of its own, for tests of many runs. */
import process from "node:process";
import { openData, rowLength } from "../../cli/data.ts";
import { padOf } from "../../cli/finetune/evaluation.ts";
import { openModel } from "../../cli/load.ts";
import { CHUNK_TOKENS, heldOutLoss, type LossScale } from "../../train/mod.ts";
import { runFinetune } from "../../cli/finetune/run.ts";
import type { RunFlags } from "../../cli/finetune/run_flags.ts";
import type { FinetuneFlags } from "../../cli/finetune/settings.ts";
import { hearStreams } from "../support/standard_streams.ts";

/** What the command line fills in when nothing is said, but small. */
export const DEFAULTS: Omit<FinetuneFlags, "method"> & { readonly heldOut: number } = {
  backend: "reference",
  schedule: "constant",
  answers: "last",
  longPrompts: "head",
  keep: "last",
  json: true,
  ...{
    warmup: 0,
    batchSize: 2,
    accumulate: 1,
    epochs: 1,
    maxSteps: 2,
    heldOut: 2,
    chunkTokens: CHUNK_TOKENS,
    splitSeed: 0,
    seed: 1,
  },
  ...{ weightDecay: 0, clip: 1, labelSmoothing: 0, rouge: 0, maxNewTokens: 4 },
};

/** The held-out loss of a saved adapter, measured anew. */
export async function loadedLoss(
  model: string,
  data: string,
  adapter: string,
  heldOut: number,
  options: Parameters<typeof openModel>[1] = {},
): Promise<number> {
  const again = await openModel({ model, backend: "reference", adapter }, options);
  try {
    const { tokenizer } = again.base;
    const maxLength = rowLength({}, again.base);
    using rows = await openData({ ...DEFAULTS, data, heldOut }, again.base, tokenizer, maxLength);
    const pad = padOf(tokenizer);
    return (await heldOutLoss(again.model, rows.heldOut, { batchSize: 2, pad })).loss;
  } finally {
    again.close();
  }
}

/** What a run prints as JSON. */
export interface Result {
  readonly outcome: string;
  readonly steps: number;
  readonly peak: number;
  readonly planned: number;
  readonly trainable: number;
  readonly evaluations: readonly { readonly loss: number; readonly [name: string]: number }[];
  readonly lossScale?: LossScale;
}

/** Runs without printing. `heard` gets what goes to standard error, and a way to interrupt like Ctrl-C. */
export async function finetuned(
  flags: Partial<RunFlags> & Pick<RunFlags, "data" | "output" | "method">,
  heard: (said: string, interrupt: () => void) => void = () => {},
): Promise<Result> {
  // The test runner would take a real signal as its own.
  const interrupt = (): void => void process.emit("SIGINT");
  let printed = "";
  using _ = hearStreams((chunk) => printed += chunk, (chunk) => heard(chunk, interrupt));
  await runFinetune({ ...DEFAULTS, ...flags } as RunFlags);
  return JSON.parse(printed);
}
