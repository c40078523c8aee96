/** What labels mean, and which of a model's scores they are compared with. */
import { rangeError, typeError } from "../../errors/error.ts";

/**
 * How a model reads the labels of a batch:
 *
 * | kind | labels | loss |
 * |---|---|---|
 * | `next` | [b][t], token i is the target at token i − 1 | cross-entropy: causal models |
 * | `token` | [b][t], each the target at its own position | cross-entropy: tags, masked words, encoder-decoder models |
 * | `class` | [b], one class per row | cross-entropy |
 * | `scores` | [b] or [b][n], real values | squared error |
 * | `flags` | [b][n], 0 or 1 for each of n classes | binary cross-entropy |
 *
 * In the first three, −100 is ignored by the loss.
 */
export type LabelKind = "next" | "token" | "class" | "scores" | "flags";

/** Labels of a batch: one per row, or several. */
export type Labels = readonly number[] | readonly (readonly number[])[];

/** The label that the loss ignores, as in PyTorch and transformers. */
const IGNORED = -100;

/**
 * The positions of class labels: indices of the rows of scores ([b · t] or [b]) that they are compared with,
 * and the target ids.
 *
 * @param firsts Whether a causal model scores a text's first token too, from a prompt before it: row b's
 * scores are then stored after those of all tokens, at b · t + row.
 * @throws {TypeError} when labels of tokens are not rows, or the class of a row is a list.
 * @example
 * ```ts
 * import { labelledPositions } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * // A causal model is scored on the next token: the label of place 2 belongs to the scores of place 1.
 * assert.deepEqual(labelledPositions([[-100, -100, 9]]), { rows: [1], ids: [9] });
 * assert.deepEqual(labelledPositions([1, 0], "class"), { rows: [0, 1], ids: [1, 0] });
 * ```
 */
export function labelledPositions(
  labels: Labels,
  kind: "next" | "token" | "class" = "next",
  firsts: "unscored" | "scored" = "unscored",
): { readonly rows: readonly number[]; readonly ids: readonly number[] } {
  const shift = kind === "next" ? 1 : 0;
  const rows: number[] = [];
  const ids: number[] = [];
  const all = tokenLabels(labels, kind);
  const total = all.reduce((n, row) => n + row.length, 0);
  all.forEach((row, b) => {
    const first = row[0] ?? IGNORED;
    if (firsts === "scored" && first !== IGNORED) {
      rows.push(total + b);
      ids.push(first);
    }
    for (let t = 0; t + shift < row.length; t++) {
      const id = row[t + shift]!;
      if (id === IGNORED) continue;
      rows.push(b * row.length + t);
      ids.push(id);
    }
  });
  return { rows, ids };
}

/**
 * How many labels of a batch the loss counts: class labels, or rows of values.
 *
 * @example
 * ```ts
 * import { labelCount } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.equal(labelCount([[-100, 5, 6]], "next"), 2);
 * assert.equal(labelCount([0.5, 0.7], "scores"), 2);
 * ```
 */
export function labelCount(labels: Labels, kind: LabelKind): number {
  return kind === "scores" || kind === "flags" ? labels.length : labelledPositions(labels, kind).rows.length;
}

/**
 * Target values of each row, [b][n].
 *
 * @throws {RangeError} when a row has a different number of values.
 * @example
 * ```ts
 * import { rowNumbers } from "@graft/peft/core";
 * import assert from "node:assert/strict";
 * assert.deepEqual(rowNumbers([0.5, 2], 1), [[0.5], [2]]);
 * assert.throws(() => rowNumbers([[1, 0], [1]], 2), /label of row 1/);
 * ```
 */
export function rowNumbers(labels: Labels, n: number): readonly (readonly number[])[] {
  const rows = labels.map((row) => typeof row === "number" ? [row] : row);
  const bad = rows.findIndex((row) => row.length !== n || row.some((x) => !Number.isFinite(x)));
  if (bad >= 0) {
    throw rangeError(
      "INVALID_BATCH",
      `Expected ${n} ${n === 1 ? "number" : "numbers"} as the label of row ${bad} but found [${rows[bad]}]`,
    );
  }
  return rows;
}

/** Labels as rows of ids; the class of a row becomes a row of length one. */
function tokenLabels(labels: Labels, kind: "next" | "token" | "class"): readonly (readonly number[])[] {
  return labels.map((row, b) => {
    if ((typeof row === "number") !== (kind === "class")) {
      throw typeError(
        "INVALID_BATCH",
        kind === "class"
          ? `Expected one class as the label of row ${b} but found [${row}]: numbers for each class need problem_type ` +
            '"regression" or "multi_label_classification" in the config'
          : `Expected a label for every token of row ${b} but found ${row}`,
      );
    }
    return typeof row === "number" ? [row] : row;
  });
}
