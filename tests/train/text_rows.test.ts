/** Rows of plain text: nothing is lost, and everything but a row's first token is to be predicted. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { textRows } from "../../train/mod.ts";

const tokenizer = { encode: (text: string): number[] => [...text].map((c) => c.codePointAt(0)!) };

Deno.test("textRows() cuts every text into rows of the length, in order and without overlap", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ minLength: 2, maxLength: 40 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 2, max: 9 }),
      (texts, length) => {
        const rows = textRows(texts, tokenizer, length);
        const expected = texts.flatMap((text) => {
          const ids = tokenizer.encode(text);
          const cut = Array.from(
            { length: Math.ceil(ids.length / length) },
            (_, i) => ids.slice(i * length, (i + 1) * length),
          );
          return cut.filter((row) => row.length > 1);
        });
        assert.equal(rows.count, expected.length);
        expected.forEach((ids, n) => {
          assert.deepEqual(rows.tokens(n), { inputIds: ids, labels: ids });
          assert.deepEqual([rows.lengths[n], rows.targets[n]], [ids.length, ids.length - 1]);
        });
      },
    ),
  );
});

Deno.test("textRows() refuses a text with nothing to predict, and rows that hold no pair", () => {
  assert.throws(() => textRows(["a", ""], tokenizer, 8), /fewer than two tokens/);
  assert.throws(() => textRows(["abc"], tokenizer, 1), /at least 2 tokens but found 1/);
});
