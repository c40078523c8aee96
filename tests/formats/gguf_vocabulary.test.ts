import assert from "node:assert/strict";
import { plainGgufValue } from "../../formats/gguf_metadata.ts";
import { ggufTokenizer, ggufTokenizerFiles } from "../../formats/gguf_tokenizer.ts";
import { vocabularyFields } from "../../formats/gguf_vocabulary.ts";
import type { JsonObject } from "../../formats/tensor_file.ts";
import type { VocabularySource } from "../../formats/gguf_vocabulary.ts";

const read = (name: string) =>
  JSON.parse(
    Deno.readTextFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url)),
  );
const plain = (source: VocabularySource) =>
  new Map([...vocabularyFields(source)].map(([key, value]) => [key, plainGgufValue(value)]));

const PRE = { "gpt2": "gpt-2", smollm: "smollm", llama3: "llama-bpe", qwen2: "qwen2", llama2: "default" };

for (const [name, pre] of Object.entries(PRE)) {
  Deno.test(`vocabularyFields() of ${name} gives a GGUF tokenizer with the ids of Python's tokenizers`, () => {
    const { tokenizer, config, plain: ids, special } = read(name);
    const fields = plain({ tokenizer, config });
    assert.equal(fields.get("tokenizer.ggml.pre"), pre);
    const made = ggufTokenizer(fields);
    (read("texts") as string[]).forEach((text, i) => {
      assert.deepEqual(made.encode(text, { addSpecialTokens: false }), ids[i], JSON.stringify(text));
      assert.deepEqual(made.encode(text), special[i], JSON.stringify(text));
    });
  });
}

for (const pre of ["gpt-2", "smollm", "llama-bpe", "qwen2"]) {
  Deno.test(`vocabularyFields() of the files that ggufTokenizerFiles() makes of a ${pre} vocabulary are that vocabulary`, () => {
    const name = Object.entries(PRE).find(([, known]) => known === pre)![0];
    const { tokenizer, config } = read(name);
    const fields = plain({ tokenizer, config });
    const files = ggufTokenizerFiles(fields);
    const again = plain({ tokenizer: files.tokenizer as JsonObject, config: files.config as JsonObject });
    for (
      const key of ["pre", "tokens", "merges", "token_type", "bos_token_id", "add_bos_token", "add_eos_token"]
    ) {
      assert.deepEqual(again.get(`tokenizer.ggml.${key}`), fields.get(`tokenizer.ggml.${key}`), key);
    }
  });
}

Deno.test("vocabularyFields() types tokens and fills up to the embedding's rows", () => {
  const { tokenizer, config } = read("llama2");
  const fields = plain({ tokenizer, config, vocabSize: 700 });
  const tokens = fields.get("tokenizer.ggml.tokens") as string[];
  const types = fields.get("tokenizer.ggml.token_type") as number[];
  const type = (token: string) => types[tokens.indexOf(token)];
  assert.equal(tokens.length, 700);
  assert.deepEqual(["<unk>", "<s>", "</s>", "<0x0A>", "▁", "[PAD699]"].map(type), [2, 3, 3, 6, 1, 5]);
  assert.equal(fields.get("tokenizer.ggml.model"), "llama");
  assert.deepEqual(["bos", "eos", "unknown"].map((role) => fields.get(`tokenizer.ggml.${role}_token_id`)), [
    1,
    2,
    0,
  ]);
});

Deno.test("vocabularyFields() refuses tokenizers that GGUF cannot express", () => {
  assert.throws(() => plain({ tokenizer: read("t5").tokenizer }), /TypeError.*BPE model but found Unigram/);
  assert.throws(() => plain({ tokenizer: read("bert_cased").tokenizer }), /TypeError.*found WordPiece/);
  assert.throws(() => plain({ tokenizer: read("roberta").tokenizer }), /TypeError.*post_processor/);
  const { tokenizer } = read("gpt2");
  const odd = { ...tokenizer, pre_tokenizer: { type: "Whitespace" } };
  assert.throws(() => plain({ tokenizer: odd }), /TypeError.*pre-tokenizer \["Whitespace"\] is not known/);
  assert.equal(plain({ tokenizer: odd, pre: "tekken" }).get("tokenizer.ggml.pre"), "tekken");
});
