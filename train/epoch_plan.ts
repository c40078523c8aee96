/** The steps of an epoch one by one, for sizes of which some come to be known while others are trained. */
import { fold, type Key } from "../tensor/key.ts";
import { type BucketPlan, bucketPlan, type Buckets, positive } from "./buckets.ts";
import { packedBatches, type Packing } from "./packing.ts";
import type { Row } from "./buckets.ts";
import type { ExampleSizes, MicroBatch } from "./micro_batch.ts";
import { chunksOf } from "./chunks.ts";
import { rangeError } from "../errors/error.ts";

/** How examples become steps. */
export interface BatchOptions {
  /** How rows are formed. */
  readonly batching: Buckets | Packing;
  /** Micro-batches in a step; the last step of an epoch may have fewer. Default: 1. */
  readonly accumulate?: number;
  /** Most tokens of a chunk of a micro-batch, padding included, of one row at least. Default: micro-batches stay whole. */
  readonly chunkTokens?: number;
  /** Each epoch shuffles with this key folded with its number. */
  readonly key: Key;
}

/** A position in the order of training: epochs from 0, steps from 0 in each epoch. */
export interface Position {
  /** From 0. */
  readonly epoch: number;
  /** From 0 in each epoch. */
  readonly step: number;
}

/** The input of one update of the parameters. */
export interface Step extends Position {
  /** The passes whose gradients are summed: micro-batches, or their chunks. */
  readonly microBatches: readonly MicroBatch[];
  /** Labels that the loss counts in all of them. */
  readonly targets: number;
}

/** The steps of an epoch one by one. */
export interface EpochPlan {
  /** How many there are. */
  readonly steps: number;
  /** The examples whose sizes decide on a step; none where all had to be known before. */
  examples(step: number): readonly number[];
  /** A step, once these sizes are known. */
  step(step: number): Step;
}

/** Whether a plan needs the sizes of all examples before its first step: how many rows there are follows from them. */
export const needsAllSizes = ({ batching }: Pick<BatchOptions, "batching">): boolean =>
  batching.kind === "packing";

/**
 * The same steps one by one, for sizes of which some come to be known later: see `needsAllSizes`.
 *
 * @throws {RangeError} as `planEpoch`.
 */
export function epochPlan(sizes: ExampleSizes, options: BatchOptions, epoch: number): EpochPlan {
  const { batching, accumulate = 1, chunkTokens = Infinity, key } = options;
  positive("accumulate", accumulate);
  if (sizes.lengths.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Cannot plan an epoch: there are no examples");
  }
  if (sizes.targets.length !== sizes.lengths.length) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected as many targets as lengths but found ${sizes.targets.length} and ${sizes.lengths.length}`,
    );
  }
  const epochKey = fold(key, epoch);
  const batches = batching.kind === "buckets"
    ? bucketPlan(sizes.lengths, batching, epochKey)
    : planOf(packedBatches(sizes.lengths, batching, epochKey));
  const numbers = (step: number): readonly number[] =>
    Array.from(
      { length: Math.min(accumulate, batches.count - step * accumulate) },
      (_, i) => step * accumulate + i,
    );
  return {
    steps: Math.ceil(batches.count / accumulate),
    examples: (step) => numbers(step).flatMap((i) => batches.window(i)),
    step: (step) => {
      const group = numbers(step).map((i): MicroBatch => {
        const rows = batches.batch(i);
        return { rows, targets: total(rows.flat().map((example) => sizes.targets[example]!)) };
      });
      const chunks = group.flatMap((micro) => chunksOf(micro, sizes, chunkTokens));
      return { epoch, step, microBatches: chunks, targets: total(group.map(({ targets }) => targets)) };
    },
  };
}

const planOf = (batches: readonly (readonly Row[])[]): BucketPlan => ({
  count: batches.length,
  window: () => [],
  batch: (i) => batches[i]!,
});

const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);
