/**
 * Sequence packing: several examples in one row, so that only row ends are padding (Krell et al. 2021,
 * "Efficient sequence packing without cross-contamination", arXiv 2107.02027). The shuffled examples are
 * taken one window at a time; within it each one, longest first, goes to the fullest row with enough space
 * (best fit decreasing). Then the rows are shuffled and divided into batches.
 */
import { fold, type Key } from "../tensor/key.ts";
import { positive, type Row } from "./buckets.ts";
import { permutation } from "./shuffle.ts";
import { rangeError } from "../errors/error.ts";

/** Rows of several examples, separated by segment ids. */
export interface Packing {
  /** Several examples in a row. */
  readonly kind: "packing";
  /** Rows in a batch; the last one may have fewer. */
  readonly batchSize: number;
  /** Maximum number of tokens in a row. */
  readonly maxLength: number;
  /** Examples in a window. Default: 1024. */
  readonly window?: number;
}

/**
 * Batches of packed rows: every example exactly once, whole.
 *
 * @throws {RangeError} when an example is longer than a row, or an option is not an integer above 0.
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { packedBatches } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const packing = { kind: "packing", batchSize: 1, maxLength: 10 } as const;
 * const rows = packedBatches([4, 7, 6, 3], packing, key(0)).flat();
 * assert.deepEqual(rows.map((row) => [...row].sort()).sort(), [[0, 2], [1, 3]]); // 4 + 6, 7 + 3
 * ```
 */
export function packedBatches(
  lengths: ArrayLike<number>,
  { batchSize, maxLength, window = 1024 }: Packing,
  key: Key,
): readonly (readonly Row[])[] {
  positive("batchSize", batchSize);
  positive("maxLength", maxLength);
  positive("window", window);
  const order = permutation(lengths.length, fold(key, "examples"));
  const rows: Row[] = [];
  for (let start = 0; start < order.length; start += window) {
    rows.push(...bestFit(order.subarray(start, start + window), lengths, maxLength));
  }
  const shuffled = Array.from(permutation(rows.length, fold(key, "rows")), (i) => rows[i]!);
  return Array.from(
    { length: Math.ceil(rows.length / batchSize) },
    (_, i) => shuffled.slice(i * batchSize, (i + 1) * batchSize),
  );
}

function bestFit(examples: Uint32Array, lengths: ArrayLike<number>, maxLength: number): readonly Row[] {
  const rows: { readonly examples: number[]; room: number }[] = [];
  for (const example of Array.from(examples).sort((a, b) => lengths[b]! - lengths[a]!)) {
    const length = lengths[example]!;
    if (length > maxLength) {
      throw rangeError(
        "TEXT_TOO_LONG",
        `Cannot pack example ${example}: it has ${length} tokens and a row has room for ${maxLength}`,
      );
    }
    const fitting = rows.filter(({ room }) => room >= length);
    if (fitting.length === 0) rows.push({ examples: [example], room: maxLength - length });
    else {
      const fullest = fitting.reduce((best, row) => (row.room < best.room ? row : best));
      fullest.examples.push(example);
      fullest.room -= length;
    }
  }
  return rows.map((row) => row.examples);
}
