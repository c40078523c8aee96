/** Ids and texts against Hugging Face tokenizers and transformers: tests/oracles/tokenizer_goldens.py made the files. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { tokenizer, type TokenizerFiles } from "../../formats/tokenizer.ts";

interface Golden extends TokenizerFiles {
  readonly size: number;
  readonly special: readonly number[][];
  readonly plain: readonly number[][];
  readonly decoded: readonly string[];
  readonly skipped: readonly string[];
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../oracles/golden/tokenizer/${name}.json`, import.meta.url), "utf8"));
const texts: readonly string[] = read("texts");

for (
  const name of [
    "gpt2",
    "smollm",
    "llama3",
    "qwen2",
    "roberta",
    "bert_uncased",
    "bert_cased",
    "whitespace",
    "t5",
    "llama2",
  ]
) {
  const golden: Golden = read(name);
  const made = tokenizer(golden);

  Deno.test(`encode() gives the ids of transformers for ${name}`, () => {
    texts.forEach((text, i) => {
      assert.deepEqual(made.encode(text, { addSpecialTokens: false }), golden.plain[i], JSON.stringify(text));
      assert.deepEqual(made.encode(text), golden.special[i], JSON.stringify(text));
    });
  });

  Deno.test(`decode() gives the text of transformers for ${name}`, () => {
    golden.plain.forEach((ids, i) => {
      assert.equal(made.decode(ids), golden.decoded[i], JSON.stringify(texts[i]));
      assert.equal(
        made.decode(ids, { skipSpecialTokens: true }),
        golden.skipped[i],
        JSON.stringify(texts[i]),
      );
    });
  });

  Deno.test(`vocabSize is the length that transformers gives for ${name}`, () => {
    assert.equal(made.vocabSize, golden.size);
  });
}
