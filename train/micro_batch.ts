/** What one forward and backward pass takes: examples by their indices. */
import type { Row } from "./buckets.ts";

/** Two numbers per example, by its index. */
export interface ExampleSizes {
  /** Tokens in its row. */
  readonly lengths: ArrayLike<number>;
  /** Labels that the loss counts: `targetCount(labels)`. */
  readonly targets: ArrayLike<number>;
}

/** The input of one forward and backward pass. */
export interface MicroBatch {
  /** Indices of the examples, row by row. */
  readonly rows: readonly Row[];
  /** Labels that the loss counts in it. */
  readonly targets: number;
}
