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
  { batchSize, window = 32 }: Buckets,
  key: Key,
): readonly (readonly Row[])[] {
  positive("batchSize", batchSize);
  positive("window", window);
  const order = permutation(lengths.length, fold(key, "examples"));
  const batches: Row[][] = [];
  for (let start = 0; start < order.length; start += batchSize * window) {
    // Longest first, so that the short batch that may end the data is the cheapest one. The sort is stable.
    const sorted = Array.from(order.subarray(start, start + batchSize * window))
      .sort((a, b) => lengths[b]! - lengths[a]!);
    for (let i = 0; i < sorted.length; i += batchSize) {
      batches.push(sorted.slice(i, i + batchSize).map((example) => [example]));
    }
  }
  return Array.from(permutation(batches.length, fold(key, "batches")), (i) => batches[i]!);
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
