/**
 * The memory that a run will use, before it starts: its largest micro-batches are trained for one step, and
 * the longest rows evaluated, on a model without data (`shapesOnly`), by the same loop, and the bytes are
 * counted. So the plan supports every method, architecture and optimizer that the loop supports, and stays
 * correct when these change.
 */
import {
  type Adapter,
  byteLength,
  graft,
  leaves,
  memory,
  type Model,
  resetPeak,
  tensorsIn,
  trainable,
  type Tree,
} from "../core/mod.ts";
import type { MicroBatch } from "./micro_batch.ts";
import { heldOutLoss } from "./evaluate.ts";
import { placeholderRows } from "./placeholder_rows.ts";
import type { PlanOptions, RowSizes } from "./plan_options.ts";
import { epochSteps, paddedTokens, plannedRows, plannedStep } from "./planned_step.ts";
import type { Rows } from "./rows.ts";
import { typeError } from "../errors/error.ts";

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
  const steps = epochSteps(sizes, options, 0).map((step) => step.microBatches);
  const batches = steps.flat();
  const most = (measure: (batch: MicroBatch) => number): MicroBatch =>
    batches.reduce((a, b) => measure(b) > measure(a) ? b : a);
  const chosen = new Set([most((batch) => paddedTokens(batch, sizes)), most((batch) => batch.targets)]);
  return {
    batches: [...chosen].map((batch) => plannedRows(model, batch, sizes, options)),
    passes: Math.max(...steps.map((passes) => passes.length)),
  };
}

async function peakOf<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Rows,
  options: PlanOptions,
): Promise<number> {
  const { evaluated } = options;
  const others = memory(model.backend).live - bytesOfAll([model.weights, adapter.params]);
  const run = await plannedStep(model, adapter, batch, options);
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

function bytesOfAll(value: unknown): number {
  return [...new Set(tensorsIn(value).map((t) => t.storage))].reduce(
    (sum, storage) => sum + storage.bytes,
    0,
  );
}
