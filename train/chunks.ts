/**
 * The chunks of a step: runs of rows of a micro-batch that one process computes at once. They depend on lengths alone, never on
 * how many processes there are, so that the same sums are taken by one process and by many.
 */
import type { ExampleSizes, MicroBatch } from "./micro_batch.ts";
import type { Rows } from "./rows.ts";

/** Most tokens of a chunk, padding included, where nothing else is said. */
export const CHUNK_TOKENS = 2048;

/**
 * Most tokens of a chunk by the lengths of its rows, which may be several texts in a batch, or have to stay together.
 *
 * @example
 * ```ts
 * import { mostTokens } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual([mostTokens({}), mostTokens({ textsInRow: 2 }), mostTokens({ together: true })], [2048, 1024, Infinity]);
 * ```
 */
export function mostTokens(
  { together, textsInRow = 1 }: Pick<Rows, "together" | "textsInRow">,
  most: number = CHUNK_TOKENS,
): number {
  return together ? Infinity : most / textsInRow;
}

/**
 * A micro-batch as chunks of at most `most` tokens, padding included, and of one row at least: consecutive rows, nearly as many
 * in each. A chunk without labels belongs to the one before it.
 *
 * @example
 * ```ts
 * import { chunksOf } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const sizes = { lengths: [9, 8, 7, 6], targets: [1, 2, 3, 4] };
 * const rows = [[0], [1], [2], [3]];
 * assert.deepEqual(chunksOf({ rows, targets: 10 }, sizes, 18), [
 *   { rows: [[0], [1]], targets: 3 },
 *   { rows: [[2], [3]], targets: 7 },
 * ]);
 * ```
 */
export function chunksOf(
  { rows, targets }: MicroBatch,
  sizes: ExampleSizes,
  most: number,
): readonly MicroBatch[] {
  const longest = Math.max(...rows.map((row) => row.reduce((sum, n) => sum + sizes.lengths[n]!, 0)));
  const count = Math.min(rows.length, Math.ceil(rows.length * longest / most));
  if (!(count > 1)) return [{ rows, targets }];
  const chunks: MicroBatch[] = [];
  for (let i = 0; i < count; i++) {
    const own = rows.slice(Math.floor(i * rows.length / count), Math.floor((i + 1) * rows.length / count));
    const labels = own.flat().reduce((sum, n) => sum + sizes.targets[n]!, 0);
    const before = chunks.at(-1);
    if (before === undefined || (labels > 0 && before.targets > 0)) {
      chunks.push({ rows: own, targets: labels });
    } else chunks[chunks.length - 1] = { rows: [...before.rows, ...own], targets: before.targets + labels };
  }
  return chunks;
}
