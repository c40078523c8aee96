/** A thousand awkward texts, and pairs of them (tests/oracles/tokenizer_thousand.py), get transformers' ids. */
import assert from "node:assert/strict";
import { tokenizer } from "../../formats/tokenizer.ts";
import { wrapper } from "../../formats/tokenizer_wrap.ts";
import { shortened } from "../../train/pair_truncation.ts";
import { GOLDEN } from "../support/golden.ts";

const thousand = JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_thousand.json`));
const texts: readonly string[] = thousand.texts;

for (const name of ["bert_uncased", "bert_cased", "t5", "roberta"]) {
  const made = tokenizer(JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_goldens/${name}.json`)));
  const { ids, pairs } = thousand[name];

  Deno.test(`encode() gives transformers' ids for a thousand awkward texts: ${name}`, () => {
    ids.forEach((expected: number[], i: number) => {
      assert.deepEqual(
        made.encode(texts[i]!, { addSpecialTokens: false }),
        expected,
        JSON.stringify(texts[i]),
      );
    });
  });

  Deno.test(`wrap() of shortened texts gives transformers' pairs: ${name}`, () => {
    pairs.forEach(([longest, ids, types]: [number, number[], number[]], i: number) => {
      const plain = (text: string) => made.encode(text, { addSpecialTokens: false });
      const added = made.wrap([], []).ids.length;
      const { ids: found, typeIds } = made.wrap(
        ...shortened(plain(texts[2 * i]!), plain(texts[2 * i + 1]!), longest - added),
      );
      assert.deepEqual(found, ids, `pair ${i} in ${longest}`);
      assert.deepEqual(typeIds, types, `types of pair ${i}`);
    });
  });
}

Deno.test("wrap() of one text is what encode() puts around it", () => {
  for (const name of ["bert_uncased", "t5", "roberta", "gpt2", "llama3"]) {
    const made = tokenizer(JSON.parse(Deno.readTextFileSync(`${GOLDEN}tokenizer_goldens/${name}.json`)));
    assert.deepEqual(
      made.wrap(made.encode("a b", { addSpecialTokens: false })).ids,
      made.encode("a b"),
      name,
    );
  }
});

Deno.test("wrapper() of each post-processor gives the ids and types of tokenizers", () => {
  const idOf = (token: string): number => ["[CLS]", "[SEP]"].indexOf(token);
  const names = { cls: ["[CLS]", 0], sep: ["[SEP]", 1] };
  // From tokenizers 0.22: encode("a b", "c") and encode("a b").
  const cases = [
    [{ type: "BertProcessing", ...names }, [0, 2, 3, 1, 4, 1], [0, 0, 0, 0, 1, 1], [0, 2, 3, 1]],
    [{ type: "RobertaProcessing", ...names }, [0, 2, 3, 1, 1, 4, 1], [0, 0, 0, 0, 0, 0, 0], [0, 2, 3, 1]],
    [null, [2, 3, 4], [0, 0, 1], [2, 3]],
  ] as const;
  for (const [part, ids, typeIds, single] of cases) {
    const wrap = wrapper(part, idOf);
    assert.deepEqual(wrap([2, 3], [4]), { ids, typeIds });
    assert.deepEqual(wrap([2, 3]), { ids: single, typeIds: single.map(() => 0) });
  }
});

Deno.test("wrapper() refuses what it does not know", () => {
  assert.throws(() => wrapper({ type: "Other" }, () => 1), /known post-processor but found "Other"/);
  const wrap = wrapper({ type: "BertProcessing", cls: ["[CLS]", 1], sep: ["[SEP]", 2] }, () => undefined);
  assert.throws(() => wrap([5]), /"\[CLS\]" of the post-processor/);
});
