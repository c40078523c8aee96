/** The steps of a run that is planned: in the order and the sizes of a real one, on placeholder rows. */
import {
  type Adapter,
  dispose,
  leaves,
  type Model,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../core/mod.ts";
import { fold, key } from "../tensor/key.ts";
import { planEpoch } from "./batches.ts";
import type { Step } from "./epoch_plan.ts";
import { startTraining } from "./loop.ts";
import type { ExampleSizes, MicroBatch } from "./micro_batch.ts";
import { type Moments, resident, updateLeaf } from "./moments.ts";
import { freshSlots, type Optimizer, type Slots } from "./optimizer.ts";
import { mostTokens } from "./chunks.ts";
import { placeholderRows, type RowSize } from "./placeholder_rows.ts";
import type { PlanOptions, RowSizes } from "./plan_options.ts";
import { pickRows, type Rows } from "./rows.ts";
import type { Training } from "./training.ts";

/** The steps of an epoch, as the run takes them. */
export function epochSteps(sizes: RowSizes, options: PlanOptions, epoch: number): readonly Step[] {
  const { batching, accumulate = 1 } = options;
  const chunkTokens = mostTokens(sizes, options.chunkTokens);
  const order = { batching, accumulate, chunkTokens, key: fold(key(options.seed ?? 0), "order") };
  return planEpoch(sizes, order, epoch);
}

const lengthOf = (row: readonly number[], sizes: ExampleSizes): number =>
  row.reduce((n, i) => n + sizes.lengths[i]!, 0);

/** Tokens of a micro-batch, padding included. */
export const paddedTokens = ({ rows }: MicroBatch, sizes: ExampleSizes): number =>
  rows.length * Math.max(...rows.map((row) => lengthOf(row, sizes)));

/** The sizes of a micro-batch's rows. */
export const rowSizesOf = ({ rows }: MicroBatch, sizes: ExampleSizes): readonly RowSize[] =>
  rows.map((row) => ({
    length: lengthOf(row, sizes),
    targets: row.reduce((n, i) => n + sizes.targets[i]!, 0),
  }));

/** Placeholder rows of a micro-batch's sizes. */
export function plannedRows(
  model: Model,
  batch: MicroBatch,
  sizes: ExampleSizes,
  options: PlanOptions,
): Rows {
  const { rowsOf = (sizes) => placeholderRows(model, sizes) } = options;
  return rowsOf(rowSizesOf(batch, sizes));
}

/** A run of one step, of which every pass is this batch. */
export function plannedStep<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Rows,
  options: PlanOptions,
): Promise<Training<P>> {
  const { accumulate = 1, optimizer, state, evaluated: _, rowsOf: __, ...rest } = options;
  const repeated = pickRows(
    batch,
    Array.from({ length: accumulate * batch.count }, (_, n) => n % batch.count),
  );
  return startTraining(model, adapter, repeated, {
    ...rest,
    accumulate,
    chunkTokens: Infinity,
    batching: batchesOf(options, batch),
    epochs: 1,
    maxSteps: 1,
    moments: (params) => state === "resident" ? resident(optimizer, params) : pagedShapes(optimizer),
  });
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
