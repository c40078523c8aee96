/** A training run for a page: records in, a report per step, and a text before and after. */
import { adapt, type Backend, count, dispose, generate, graft, memory, type Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { lora } from "../methods/mod.ts";
import {
  cosine,
  encodeExample,
  examplesOf,
  promptOf,
  rowsFrom,
  shapeOf,
  startTraining,
} from "../train/mod.ts";
import { type ModelFiles, modelFromFiles } from "./load.ts";

/** Data and options of the training. */
export interface PageRun {
  readonly files: ModelFiles;
  /** Records of the shapes that `graft finetune` reads. */
  readonly records: readonly Readonly<Record<string, unknown>>[];
  readonly rank: number;
  readonly learningRate: number;
  readonly steps: number;
  readonly batchSize: number;
  readonly maxLength: number;
  readonly seed: number;
}

/** One step. */
export interface PageStep {
  readonly step: number;
  readonly loss: number;
  readonly milliseconds: number;
}

/** The result of a run. */
export interface PageResult {
  readonly losses: readonly number[];
  readonly trainable: number;
  /** The model's output for the first record's prompt. */
  readonly before: string;
  readonly after: string;
  /** Peak number of live bytes. */
  readonly peak: number;
}

/** Trains LoRA. Everything it allocated is freed at the end. */
export async function trainPage(
  run: PageRun,
  backend: Backend,
  stepped: (step: PageStep) => void,
): Promise<PageResult> {
  const model = modelFromFiles(run.files, backend);
  const { tokenizer } = model;
  const examples = run.records.flatMap((value, i) => {
    const record = { file: "records", line: i + 1, value };
    return examplesOf(record, shapeOf(record));
  });
  const room = { maxLength: run.maxLength, longPrompt: { keep: "head" } } as const;
  const rows = rowsFrom(examples.map((example) => encodeExample(example, tokenizer, room)));
  const adapter = adapt(model, lora({ rank: run.rank, targets: "all-linear" }), run.seed);
  const training = await startTraining(model, adapter, rows, {
    learningRate: run.learningRate,
    schedule: cosine({ totalSteps: run.steps, warmUp: 2 }),
    batching: { kind: "buckets", batchSize: run.batchSize },
    epochs: Math.ceil(run.steps * run.batchSize / rows.count) + 1,
    maxSteps: run.steps,
    clip: 1,
    seed: run.seed,
    pad: tokenizer.pad ?? 0,
  });
  try {
    const prompt = promptOf(rows, 0);
    const before = await sample(model, prompt);
    const losses: number[] = [];
    for (;;) {
      const start = performance.now();
      const report = await training.next();
      if (report === undefined) break;
      losses.push(report.loss);
      stepped({ step: report.step, loss: report.loss, milliseconds: performance.now() - start });
    }
    const after = await sample(graft(model, training.adapter()), prompt);
    const { trainable } = count(model, adapter);
    return { losses, trainable, before, after, peak: memory(backend).peak };
  } finally {
    training.dispose();
    dispose(adapter.params);
    model.dispose();
  }
}

const sample = (model: Model<Tokenizer>, prompt: readonly number[]): Promise<string> =>
  generate(model, prompt, { maxNewTokens: 24 });
