/**
 * Rows of examples as rectangular arrays, padded on the right:
 *
 *     inputIds     a a a b b 0      labels       -100 a a -100 b -100
 *     positionIds  0 1 2 0 1 0      segmentIds      1 1 1    2 2    0
 *
 * A query may see a key only of its own segment. Each segment's first label is ignored: after the causal shift the last
 * token of the segment before would have to predict it. (Alone in a row nothing predicts it either.)
 */
import { positive, type Row } from "./buckets.ts";
import { IGNORED, type Tokens } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/** A batch, each field [rows][tokens]. */
export interface Batch {
  /** [b][t], padded. */
  readonly inputIds: readonly (readonly number[])[];
  /** Not shifted; -100 where the loss is ignored. */
  readonly labels: readonly (readonly number[])[];
  /** 1 on tokens, 0 on padding. */
  readonly attentionMask: readonly (readonly number[])[];
  /** From 0 in each segment. */
  readonly positionIds: readonly (readonly number[])[];
  /** From 1 in each row; 0 on padding. */
  readonly segmentIds: readonly (readonly number[])[];
}

/** Options of `collate`. */
export interface CollateOptions {
  /** The token to pad with. */
  readonly pad: number;
  /** Round the width up to a multiple of this, which keeps the number of different shapes small. Default: 1. */
  readonly multipleOf?: number;
}

/**
 * The batch of some rows. `tokensOf` returns the tokens of an example by its index.
 *
 * @throws {RangeError} when there are no rows.
 * @example
 * ```ts
 * import { collate } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const examples = [{ inputIds: [5, 6], labels: [-100, 6] }, { inputIds: [7], labels: [-100] }];
 * const batch = collate([[0, 1], [1]], (n) => examples[n]!, { pad: 0 });
 * assert.deepEqual(batch.inputIds, [[5, 6, 7], [7, 0, 0]]);
 * assert.deepEqual(batch.segmentIds, [[1, 1, 2], [1, 0, 0]]);
 * ```
 */
export function collate(
  rows: readonly Row[],
  tokensOf: (example: number) => Tokens,
  { pad, multipleOf = 1 }: CollateOptions,
): Batch {
  positive("multipleOf", multipleOf);
  if (rows.length === 0) throw rangeError("INVALID_BATCH", "Cannot collate a batch: it has no rows");
  const packed = rows.map((row) => joinSegments(row.map(tokensOf)));
  const longest = packed.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0);
  const width = Math.ceil(longest / multipleOf) * multipleOf;
  const field = (of: (row: PackedRow) => readonly number[], filler: number) =>
    packed.map((row) => {
      const values = of(row);
      return [...values, ...new Array<number>(width - values.length).fill(filler)];
    });
  return {
    inputIds: field((row) => row.inputIds, pad),
    labels: field((row) => row.labels, IGNORED),
    attentionMask: field((row) => row.inputIds.map(() => 1), 0),
    positionIds: field((row) => row.positionIds, 0),
    segmentIds: field((row) => row.segmentIds, 0),
  };
}

interface PackedRow extends Tokens {
  readonly positionIds: readonly number[];
  readonly segmentIds: readonly number[];
}

function joinSegments(segments: readonly Tokens[]): PackedRow {
  return {
    inputIds: segments.flatMap(({ inputIds }) => inputIds),
    labels: segments.flatMap(({ labels }) => labels.map((label, i) => (i === 0 ? IGNORED : label))),
    positionIds: segments.flatMap(({ inputIds }) => inputIds.map((_, i) => i)),
    segmentIds: segments.flatMap(({ inputIds }, segment) => inputIds.map(() => segment + 1)),
  };
}
