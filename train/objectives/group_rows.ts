/** Groups of texts as rows: a row is a pair or a triplet, and a batch of n rows has 2 n or 3 n texts. */
import { collate } from "../collate.ts";
import type { Rows } from "../rows.ts";
import { IGNORED, type Tokens } from "../truncation.ts";
import type { GroupBatch } from "./embedding.ts";

/** A group: an anchor, what belongs to it, perhaps what does not. */
export interface TokenGroup {
  /** Ids of each text. */
  readonly texts: readonly (readonly number[])[];
  /** How near the two texts of a pair are. */
  readonly similarity?: number;
}

/** Groups as rows; a row is as long as its longest text, and counts as one. */
export interface GroupRows extends Rows {
  /** The batch of some groups. */
  batch(numbers: readonly number[], pad: number): GroupBatch;
}

/**
 * Rows of groups that are tokenized already.
 *
 * @throws {RangeError} when groups have different numbers of texts.
 * @example
 * ```ts
 * import { groupRowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = groupRowsFrom([{ texts: [[1, 2], [3]] }, { texts: [[4], [5, 6, 7]] }]);
 * assert.deepEqual(rows.batch([0, 1], 0).inputIds, [[1, 2, 0], [4, 0, 0], [3, 0, 0], [5, 6, 7]]);
 * ```
 */
export function groupRowsFrom(groups: readonly TokenGroup[]): GroupRows {
  const columns = groups[0]?.texts.length ?? 0;
  const other = groups.findIndex(({ texts }) => texts.length !== columns || columns < 2);
  if (other >= 0) {
    throw new RangeError(
      `Expected groups of ${Math.max(2, columns)} texts but group ${other} has ${
        groups[other]!.texts.length
      }`,
    );
  }
  const tokens = (ids: readonly number[]): Tokens => ({ inputIds: ids, labels: ids.map(() => IGNORED) });
  return {
    count: groups.length,
    lengths: groups.map(({ texts }) => Math.max(...texts.map((text) => text.length))),
    targets: groups.map(() => 1),
    together: true,
    tokens: (n) => tokens(groups[n]!.texts[0]!),
    batch: (numbers, pad) => {
      const texts = Array.from(
        { length: columns },
        (_, c) => numbers.map((n) => tokens(groups[n]!.texts[c]!)),
      ).flat();
      const { inputIds, attentionMask } = collate(texts.map((_, i) => [i]), (i) => texts[i]!, { pad });
      const scored = numbers.map((n) => groups[n]!.similarity);
      return {
        ...{ inputIds, attentionMask, columns },
        ...scored.every((one) => one !== undefined) && { similarities: scored },
      };
    },
  };
}
