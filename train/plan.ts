/**
 * The memory that a run will use, before it starts: its largest micro-batches are trained for one step, and
 * the longest rows evaluated, on a model without data (`shapesOnly`), by the same loop, and the bytes are
 * counted. So the plan supports every method, architecture and optimizer that the loop supports, and stays
 * correct when these change.
 */
import {
  type Adapter,
  dispose,
  graft,
  leaves,
  memory,
  type Model,
  nest,
  overlay,
  resetPeak,
  scope,
  type Synchronous,
  type Tensor,
  tensorsIn,
  trainable,
  type Tree,
} from "../core/mod.ts";
import { byteLength } from "../core/mod.ts";
import { planEpoch } from "./batches.ts";
import type { ExampleSizes, MicroBatch } from "./micro_batch.ts";
import { heldOutLoss } from "./evaluate.ts";
import { startTraining } from "./loop.ts";
import type { TrainOptions } from "./training.ts";
import { type Moments, resident, updateLeaf } from "./moments.ts";
import { freshSlots, type Optimizer, type Slots } from "./optimizer.ts";
import { placeholderRows, type RowSize } from "./placeholder_rows.ts";
import { mostTokens } from "./pieces.ts";
import { pickRows, type Rows } from "./rows.ts";
import { fold, key } from "../tensor/key.ts";
import { typeError } from "../errors/error.ts";

/** Sizes of rows, and what of them must stay together. */
export type RowSizes = ExampleSizes & Pick<Rows, "together" | "textsInRow">;

/** Peak memory of a run, in bytes. */
export interface MemoryPlan {
  /** The base's weights as stored. */
  readonly weights: number;
  /** The adapter's parameters. */
  readonly adapter: number;
  /** One gradient for every trained parameter. */
  readonly gradients: number;
  /** Optimizer state in compute memory. */
  readonly optimizer: number;
  /** Activations kept for the backward pass and all temporaries, at their peak. */
  readonly activations: number;
  /** The peak: the sum of the above. */
  readonly total: number;
  /** Optimizer state outside compute memory (paged): host memory or disk. Not in the total. */
  readonly paged: number;
}

/** Options of a plan: the training options and further information on the run. */
export interface PlanOptions extends Omit<TrainOptions, "moments"> {
  /** The update rule. */
  readonly optimizer: Optimizer;
  /** Where the optimizer state is stored. */
  readonly state: "resident" | "paged";
  /**
   * The evaluation between steps, while the optimizer state is held: longer rows may need more memory than
   * training.
   */
  readonly evaluated?: ExampleSizes & { readonly batchSize: number };
  /** Rows of given sizes, where they are not of the model's kind of label. */
  readonly rowsOf?: (sizes: readonly RowSize[]) => Rows;
}

/**
 * The memory that training takes, from shapes alone.
 *
 * @param model On the backend `shapesOnly`, as created by `checkpointShapes` and `configShapes`.
 * @param sizes Tokens and labels of each example.
 * @example
 * ```ts
 * import { adapt, lora, smallConfig } from "@graft/peft";
 * import { configShapes } from "@graft/peft/io";
 * import { adamw, planMemory } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = configShapes(smallConfig("llama"));
 * const adapter = adapt(model, lora({ rank: 4 })); // 2 matrices in 2 layers, 4 · (16 + 16) numbers each
 * const plan = await planMemory(model, adapter, { lengths: [32, 20], targets: [10, 8] }, {
 *   learningRate: 1e-3, batching: { kind: "buckets", batchSize: 2 }, pad: 0, optimizer: adamw(), state: "resident",
 * });
 * assert.equal(plan.optimizer, 2 * 4 * 512); // two f32 slots a trained number
 * assert.equal(plan.total, plan.weights + plan.adapter + plan.gradients + plan.optimizer + plan.activations);
 * ```
 */
export async function planMemory<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  sizes: RowSizes,
  options: PlanOptions,
): Promise<MemoryPlan> {
  if (model.backend.name !== "shapes") {
    throw typeError(
      "INVALID_ARGUMENT",
      `Expected a model without numbers to plan with but found one on ${model.backend.name}`,
    );
  }
  const weights = bytesOfAll(model.weights);
  const params = bytesOfAll(adapter.params);
  const trained = leaves(trainable(adapter.params));
  const state = trained.reduce(
    (sum, [, leaf]) =>
      sum +
      Object.values(options.optimizer.slots(leaf)).reduce((n, dtype) => n + byteLength(dtype, leaf.shape), 0),
    0,
  );
  const peaks: number[] = [];
  const { batches, passes } = largestBatches(model, sizes, options);
  for (const batch of batches) {
    peaks.push(await peakOf(model, adapter, batch, { ...options, accumulate: passes }));
  }
  const gradients = trained.reduce((sum, [, leaf]) => sum + leaf.size * 4, 0);
  const optimizer = options.state === "resident" ? state : 0;
  const total = Math.max(...peaks);
  return {
    weights,
    adapter: params,
    gradients,
    optimizer,
    activations: total - weights - params - gradients - optimizer,
    total,
    paged: state - optimizer,
  };
}

/** The evaluation's batch of the longest rows. */
function longestRows(model: Model, evaluated: NonNullable<PlanOptions["evaluated"]>): Rows {
  const { lengths, targets, batchSize } = evaluated;
  const order = Array.from({ length: lengths.length }, (_, n) => n).sort((a, b) => lengths[b]! - lengths[a]!);
  return placeholderRows(
    model,
    order.slice(0, batchSize).map((n) => ({ length: lengths[n]!, targets: targets[n]! })),
  );
}

/**
 * The two passes that may need most memory: the one with most tokens, including padding, and the one with most labels; and how
 * many passes a step has at most.
 */
function largestBatches(
  model: Model,
  sizes: RowSizes,
  options: PlanOptions,
): { readonly batches: readonly Rows[]; readonly passes: number } {
  const { batching, accumulate = 1 } = options;
  const pieceTokens = mostTokens(sizes, options.pieceTokens);
  const order = { batching, accumulate, pieceTokens, key: fold(key(options.seed ?? 0), "order") };
  const steps = planEpoch(sizes, order, 0).map((step) => step.microBatches);
  const batches = steps.flat();
  const lengthOf = (row: readonly number[]): number => row.reduce((n, i) => n + sizes.lengths[i]!, 0);
  const padded = ({ rows }: MicroBatch): number => rows.length * Math.max(...rows.map(lengthOf));
  const most = (measure: (batch: MicroBatch) => number): MicroBatch =>
    batches.reduce((a, b) => measure(b) > measure(a) ? b : a);
  const chosen = new Set([most(padded), most((batch) => batch.targets)]);
  const { rowsOf = (sizes) => placeholderRows(model, sizes) } = options;
  return {
    batches: [...chosen].map(({ rows }) =>
      rowsOf(
        rows.map((row) => ({
          length: lengthOf(row),
          targets: row.reduce((n, i) => n + sizes.targets[i]!, 0),
        })),
      )
    ),
    passes: Math.max(...steps.map((passes) => passes.length)),
  };
}

async function peakOf<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Rows,
  options: PlanOptions,
): Promise<number> {
  const { accumulate = 1, optimizer, state, evaluated, rowsOf: _, ...rest } = options;
  // Every pass of the step is this one.
  const repeated = pickRows(
    batch,
    Array.from({ length: accumulate * batch.count }, (_, n) => n % batch.count),
  );
  const others = memory(model.backend).live - bytesOfAll([model.weights, adapter.params]);
  const run = await startTraining(model, adapter, repeated, {
    ...rest,
    accumulate,
    pieceTokens: Infinity,
    batching: batchesOf(options, batch),
    epochs: 1,
    maxSteps: 1,
    moments: (params) => state === "resident" ? resident(optimizer, params) : pagedShapes(optimizer),
  });
  // A run frees the parameters that it started from, but here they are still needed for the next batch.
  const started = bytesOfAll(adapter.params);
  resetPeak();
  await run.next();
  if (evaluated !== undefined) {
    const { batchSize } = evaluated;
    await heldOutLoss(graft(model, run.adapter()), longestRows(model, evaluated), {
      batchSize,
      pad: options.pad,
    });
  }
  const { peak } = memory(model.backend);
  run.dispose();
  return peak - others - started;
}

/** One example per row, whatever it was made of; packed rows keep the tensor that separates their texts. */
function batchesOf({ batching }: PlanOptions, batch: Rows): PlanOptions["batching"] {
  if (batching.kind === "buckets") return { kind: "buckets", batchSize: batch.count };
  const maxLength = Math.max(...Array.from(batch.lengths));
  return { kind: "packing", batchSize: batch.count, maxLength };
}

/** The paged optimizer's use of compute memory, without its host memory: state of one parameter at a time. */
function pagedShapes(optimizer: Optimizer): Moments {
  const nothing = Promise.resolve();
  return {
    optimizer,
    bytes: () => ({ resident: 0, host: 0, disk: 0 }),
    apply: (params, gradients, options) => {
      const updated = leaves(gradients).map(([path, gradient]): readonly [string, Tensor] => {
        const next = scope((): Synchronous<{ readonly leaf: Tensor; readonly slots: Slots }> =>
          updateLeaf(optimizer, params, path, gradient, freshSlots(optimizer, gradient), options)
        );
        dispose(next.slots);
        return [path, next.leaf];
      });
      return Promise.resolve(overlay(params, nest(updated) as Tree));
    },
    async *save() {},
    restore: () => nothing,
    dispose: () => {},
  };
}

function bytesOfAll(value: unknown): number {
  return [...new Set(tensorsIn(value).map((t) => t.storage))].reduce(
    (sum, storage) => sum + storage.bytes,
    0,
  );
}
