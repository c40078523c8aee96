/** Plain text as rows in which every token is a target, for perplexity on a text file. */
import type { Rows } from "./rows.ts";
import { rowsFrom } from "./rows.ts";
import type { Tokens } from "./truncation.ts";
import { rangeError } from "../errors/error.ts";

/**
 * Texts divided into rows of at most `length` tokens, without overlap, which the model sees separately.
 * Nothing predicts a row's first token, so its label does not count.
 *
 * @throws {RangeError} when there is nothing to predict.
 * @example
 * ```ts
 * import { textRows } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = textRows(["12345"], { encode: (text) => [...text].map(Number) }, 3);
 * assert.deepEqual([0, 1].map((n) => rows.tokens(n).inputIds), [[1, 2, 3], [4, 5]]);
 * ```
 */
export function textRows(
  texts: Iterable<string>,
  tokenizer: { encode(text: string): readonly number[] },
  length: number,
): Rows {
  if (!Number.isInteger(length) || length < 2) {
    throw rangeError("DATA_INVALID", `Expected rows of at least 2 tokens but found ${length}`);
  }
  const rows: Tokens[] = [];
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    for (let start = 0; start + 1 < ids.length; start += length) {
      const inputIds = ids.slice(start, start + length);
      if (inputIds.length > 1) rows.push({ inputIds, labels: inputIds });
    }
  }
  if (rows.length === 0) {
    throw rangeError("DATA_INVALID", "Cannot take a perplexity: the text has fewer than two tokens");
  }
  return rowsFrom(rows);
}
