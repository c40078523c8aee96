/** A short training run that tells how it goes. */
import {
  adapt,
  type Adapter,
  copyTree,
  dispose,
  memory,
  type Method,
  type Model,
  resetPeak,
} from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { cosine, startTraining } from "../train/mod.ts";
import type { Workshop } from "./workshop.ts";

/** How to train. */
export interface TuneOptions {
  readonly steps: number;
  /** Peak learning rate. */
  readonly rate: number;
  /** Rows in a step, default 8. */
  readonly batchSize?: number;
  readonly seed?: number;
  /** The model to adapt; default the workshop's. */
  readonly model?: Model<Tokenizer>;
  /** Hears of each step. The adapter's tensors live until the next one. */
  stepped?(point: Point, adapter: Adapter): void | Promise<void>;
}

/** One step. */
export interface Point {
  readonly step: number;
  readonly loss: number;
}

/** A run that is over. Its adapter is the caller's. */
export interface Tuned {
  readonly adapter: Adapter;
  readonly points: readonly Point[];
  readonly seconds: number;
  /** Most bytes that lived at once beside what lived before: not the model. */
  readonly peak: number;
}

/** Trains a method from its start: AdamW, clipping at 1, a tenth of the steps to warm up, then a cosine to 0. */
export async function tune(shop: Workshop, method: Method, options: TuneOptions): Promise<Tuned> {
  const { steps, rate, batchSize = 8, seed = 0, model = shop.model, stepped } = options;
  resetPeak();
  const { live } = memory(shop.backend);
  const start = adapt(model, method, seed);
  const began = performance.now();
  const run = await startTraining(model, start, shop.train, {
    learningRate: rate,
    schedule: cosine({ totalSteps: steps + 1, warmUp: Math.ceil(steps / 10) }),
    batching: { kind: "buckets", batchSize },
    epochs: Math.ceil(steps * batchSize / shop.train.count) + 1,
    maxSteps: steps,
    clip: 1,
    seed,
    pad: shop.pad,
  });
  const points: Point[] = [];
  for (let report = await run.next(); report; report = await run.next()) {
    const point = { step: report.step, loss: report.loss };
    points.push(point);
    await stepped?.(point, run.adapter());
  }
  dispose(start.params);
  const seconds = (performance.now() - began) / 1000;
  const { peak } = memory(shop.backend);
  // The run owns its tensors: what it trained outlives it as a copy.
  const trained = run.adapter();
  const adapter = { ...trained, params: copyTree(trained.params) };
  run.dispose();
  return { adapter, points, seconds, peak: peak - live };
}
