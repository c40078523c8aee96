/**
 * One step of preference tuning, or of supervised fine-tuning on the same texts, of a model of SmolLM2-135M's shape: LoRA of rank 8 on q, k, v,
 * o, AdamW. Options as JSON: see `PreferenceStepOptions`. A reading's time is the CPU's, over all threads, which other work on the machine
 * changes less than a clock.
 */
import process from "node:process";
import { adapt } from "../../mod.ts";
import { freshModel } from "../../models/mod.ts";
import {
  dpo,
  objectiveGradients,
  preferenceRowsFrom,
  rowsFrom,
  startTraining,
  type Tokens,
  type TrainOptions,
  withReference,
} from "../../train/mod.ts";
import { methodOf } from "./methods.ts";
import { openBackend, type OpenOptions } from "./open.ts";
import { peakResident, serveReadings, VERSIONS } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

interface PreferenceStepOptions extends OpenOptions {
  /** The texts by themselves; pairs with the reference computed in each step; pairs whose log-probabilities are known. */
  readonly objective: "sft" | "dpo" | "dpo-cached";
  /** Pairs in a step, two texts each. */
  readonly pairs: number;
  /** Tokens of a text, and how many at its end are the answer's. */
  readonly tokens: number;
  readonly labelled: number;
  readonly layers: number;
}

const defaults: PreferenceStepOptions = {
  threads: 2,
  objective: "sft",
  pairs: 2,
  tokens: 128,
  labelled: 64,
  layers: 30,
};
const { objective, pairs, tokens, labelled, layers, ...opening }: PreferenceStepOptions = {
  ...defaults,
  ...JSON.parse(Deno.args[0] ?? "{}"),
};

const backend = await openBackend(opening);
const model = freshModel({ ...SMOLLM2, num_hidden_layers: layers }, { backend, key: 0 });
const adapter = adapt(model, methodOf("lora", 8, ["q_proj", "k_proj", "v_proj", "o_proj"]), 1);

/** A text; the two of a pair have the prompt in common. */
function text(pair: number, which: number): Tokens {
  const inputIds = Array.from({ length: tokens }, (_, t) => {
    const own = t < tokens - labelled ? 0 : 5003 * which;
    return (pair * 7919 + t * 997 + 13 + own) % (SMOLLM2["vocab_size"] as number);
  });
  return { inputIds, labels: inputIds.map((id, t) => t < tokens - labelled ? -100 : id) };
}

const pair = Array.from({ length: pairs }, (_, n) => ({ chosen: text(n, 0), rejected: text(n, 1) }));
const options: TrainOptions = {
  learningRate: 1e-4,
  batching: { kind: "buckets", batchSize: objective === "sft" ? 2 * pairs : pairs },
  epochs: 1000,
  pad: 0,
  ...objective !== "sft" && { gradients: objectiveGradients(dpo()) },
};
const plain = preferenceRowsFrom(pair);
const rows = objective === "sft"
  ? rowsFrom(pair.flatMap(({ chosen, rejected }) => [chosen, rejected]))
  : objective === "dpo"
  ? plain
  : await withReference(plain, model, { batchSize: pairs, pad: 0 });
const run = await startTraining(model, adapter, rows, options);

await serveReadings(VERSIONS, async () => {
  const before = cpu();
  await run.next();
  return { milliseconds: cpu() - before, peakBytes: peakResident() };
});

/** The process's CPU time so far in milliseconds, all threads together. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
