/** Groups of texts as rows: a row is a pair or a triplet, and a batch of n rows has 2 n or 3 n texts. */
import { collate } from "../collate.ts";
import type { GroupFile } from "../groups.ts";
import type { Rows } from "../rows.ts";
import { IGNORED, type Tokens } from "../truncation.ts";
import type { GroupBatch } from "./embedding.ts";
import { rangeError } from "../../errors/error.ts";

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
 * Rows of groups, encoded on demand.
 *
 * @param idsOf Ids of a text as the model reads it, special ones included.
 * @example
 * ```ts
 * import { groupRows } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const groups = [{ texts: ["12", "3"] }, { texts: ["4", "567"] }];
 * const file = { count: 2, group: (n: number) => groups[n]! };
 * const rows = groupRows(file, (text) => [...text].map(Number));
 * assert.deepEqual([rows.lengths[1], rows.batch([0], 0).inputIds], [3, [[1, 2], [3, 0]]]);
 * ```
 */
export function groupRows(
  groups: Pick<GroupFile, "count" | "group">,
  idsOf: (text: string) => readonly number[],
  { encoded }: {
    /** Called after every hundredth group with the number that are encoded. */
    readonly encoded?: (count: number) => void;
  } = {},
): GroupRows {
  const group = (n: number): TokenGroup => {
    const { texts, similarity } = groups.group(n);
    return { texts: texts.map(idsOf), ...similarity !== undefined && { similarity } };
  };
  return rowsOfGroups(groups.count, group, encoded);
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
  return rowsOfGroups(groups.length, (n) => groups[n]!);
}

function rowsOfGroups(
  count: number,
  group: (n: number) => TokenGroup,
  encoded: (count: number) => void = () => {},
): GroupRows {
  const lengths = new Uint32Array(count);
  let columns = 0;
  for (let n = 0; n < count; n++) {
    const { texts } = group(n);
    if (n === 0) columns = texts.length;
    if (texts.length !== columns || columns < 2) {
      throw rangeError(
        "INVALID_BATCH",
        `Expected groups of ${Math.max(2, columns)} texts but group ${n} has ${texts.length}`,
      );
    }
    lengths[n] = Math.max(...texts.map((text) => text.length));
    if (n % 100 === 99) encoded(n + 1);
  }
  const tokens = (ids: readonly number[]): Tokens => ({ inputIds: ids, labels: ids.map(() => IGNORED) });
  return {
    count,
    lengths,
    targets: new Uint32Array(count).fill(1),
    together: true,
    tokens: (n) => tokens(group(n).texts[0]!),
    batch: (numbers, pad) => {
      const groups = numbers.map(group);
      const texts = Array.from(
        { length: columns },
        (_, c) => groups.map(({ texts }) => tokens(texts[c]!)),
      ).flat();
      const { inputIds, attentionMask } = collate(texts.map((_, i) => [i]), (i) => texts[i]!, { pad });
      const scored = groups.map(({ similarity }) => similarity);
      return {
        ...{ inputIds, attentionMask, columns },
        ...scored.every((one) => one !== undefined) && { similarities: scored },
      };
    },
  };
}
