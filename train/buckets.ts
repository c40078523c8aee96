/**
 * Length buckets: batches of rows of similar length, so that there is little padding. The shuffled examples
 * are taken one window at a time, sorted by length within it and divided into batches; then the batches are
 * shuffled. A window of one batch is a plain shuffle, a window of all examples a full sort; in between, the
 * order is mostly random and rows have mostly similar lengths.
 */
import { fold, type Key } from "../tensor/key.ts";
import { permutation } from "./shuffle.ts";
import { rangeError } from "../errors/error.ts";

/** Indices of the examples that share one row of a batch. */
export type Row = readonly number[];

/** Rows of one example each, padded to the longest of their batch. */
export interface Buckets {
  /** Rows of similar length, padded. */
  readonly kind: "buckets";
  /** Rows in a batch; the last one may have fewer. */
  readonly batchSize: number;
  /** Batches in a window. Default: 32. */
  readonly window?: number;
}

/**
 * Batches of the examples with these lengths in tokens: every example exactly once.
 *
 * @throws {RangeError} when batchSize or window is not an integer above 0.
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { bucketBatches } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const batches = bucketBatches([9, 2, 8, 1], { kind: "buckets", batchSize: 2 }, key(0));
 * const together = batches.map((rows) => rows.flat().sort()).sort();
 * assert.deepEqual(together, [[0, 2], [1, 3]]); // the long ones, and the short ones
 * ```
 */
export function bucketBatches(
  lengths: ArrayLike<number>,
  options: Buckets,
  key: Key,
): readonly (readonly Row[])[] {
  const plan = bucketPlan(lengths, options, key);
  return Array.from({ length: plan.count }, (_, i) => plan.batch(i));
}

/** The batches of an epoch, each of which needs the lengths of its own window alone. */
export interface BucketPlan {
  /** Batches. */
  readonly count: number;
  /** The examples whose lengths decide on batch i. */
  window(i: number): readonly number[];
  /** Batch i, once these lengths are known. */
  batch(i: number): readonly Row[];
}

/**
 * The batches one by one, for lengths of which some come to be known later.
 *
 * @param lengths Read when a batch is asked for.
 * @throws {RangeError} as `bucketBatches`.
 */
export function bucketPlan(
  lengths: ArrayLike<number>,
  { batchSize, window = 32 }: Buckets,
  key: Key,
): BucketPlan {
  positive("batchSize", batchSize);
  positive("window", window);
  const examples = permutation(lengths.length, fold(key, "examples"));
  const order = permutation(Math.ceil(examples.length / batchSize), fold(key, "batches"));
  const inWindow = (number: number): readonly number[] =>
    Array.from(examples.subarray(number * batchSize * window, (number + 1) * batchSize * window));
  const sorted: (readonly number[])[] = [];
  return {
    count: order.length,
    window: (i) => inWindow(Math.floor(order[i]! / window)),
    batch: (i) => {
      const number = Math.floor(order[i]! / window);
      // Longest first, so that the short batch that may end the data is the cheapest one. The sort is stable.
      sorted[number] ??= inWindow(number).toSorted((a, b) => lengths[b]! - lengths[a]!);
      const start = order[i]! % window * batchSize;
      return sorted[number].slice(start, start + batchSize).map((example) => [example]);
    },
  };
}

/** @throws {RangeError} when the option is not an integer above 0. */
export function positive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected ${name} to be an integer greater than 0 but found ${value}`,
    );
  }
}
