/** Ids and texts against Hugging Face tokenizers and transformers: tests/oracles/tokenizer_goldens.py made the files. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTokenizer, tokenizer, type TokenizerFiles } from "../../formats/tokenizer.ts";

interface Golden extends TokenizerFiles {
  readonly size: number;
  readonly special: readonly number[][];
  readonly plain: readonly number[][];
  readonly decoded: readonly string[];
  readonly skipped: readonly string[];
}

const read = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  );
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

Deno.test("loadTokenizer() reads a checkpoint folder", async () => {
  const folder = mkdtempSync(join(tmpdir(), "graft-tokenizer-"));
  const golden: Golden = read("llama3");
  await assert.rejects(loadTokenizer(folder), /to hold tokenizer.json but found none/);
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(golden.tokenizer));
  const bare = await loadTokenizer(folder);
  assert.deepEqual(bare.encode(texts[9]!), golden.special[9]);
  assert.equal(bare.bos, undefined);
  writeFileSync(
    join(folder, "special_tokens_map.json"),
    '{"bos_token": {"content": "<s>"}, "eos_token": "</s>"}',
  );
  writeFileSync(join(folder, "tokenizer_config.json"), '{"eos_token": "<|im_end|>", "bos_token": null}');
  writeFileSync(join(folder, "chat_template.jinja"), "{{ messages[0].content }}{{ eos_token }}");
  const full = await loadTokenizer(folder);
  assert.deepEqual([full.bos, full.eos, full.pad], [0, full.id("<|im_end|>"), undefined]);
  assert.equal(full.chat([{ role: "user", content: "hi" }]), "hi<|im_end|>");
  writeFileSync(join(folder, "tokenizer_config.json"), "{");
  await assert.rejects(loadTokenizer(folder), /Cannot parse .*tokenizer_config\.json/);
  rmSync(folder, { recursive: true });
});

Deno.test("tokenizer() adds the tokens that only tokenizer_config.json lists", () => {
  const files: Golden = read("gpt2");
  const size = files.size;
  const made = tokenizer({
    ...files,
    config: { added_tokens_decoder: { [size]: { content: "<new>", special: true } }, pad_token: "!" },
  });
  assert.equal(made.vocabSize, size + 1);
  assert.deepEqual(made.encode("<new>"), [size]);
  assert.equal(made.decode([size, ...made.encode("a!b"), size], { skipSpecialTokens: true }), "ab");
  assert.equal(made.pad, made.id("!"));
});

Deno.test("tokenizer() refuses parts that it does not know", () => {
  const files = read("gpt2").tokenizer;
  assert.throws(
    () => tokenizer({ tokenizer: { ...files, decoder: { type: "X" } } }),
    /known decoder .* found "X"/,
  );
  assert.throws(() => tokenizer({ tokenizer: { ...files, normalizer: { type: "X" } } }), /known normalizer/);
  assert.throws(() => tokenizer({ tokenizer: { ...files, pre_tokenizer: { type: "X" } } }), /X/);
});

Deno.test("decode() passes over ids that the vocabulary does not have", () => {
  const made = tokenizer(read("gpt2"));
  assert.equal(made.decode([...made.encode("a"), 5000, ...made.encode("b")]), "ab");
  assert.equal(made.token(5000), undefined);
  assert.equal(made.id("no such token"), undefined);
});

Deno.test("encode() takes an unpaired surrogate for U+FFFD", () => {
  const made = tokenizer(read("gpt2"));
  assert.deepEqual(made.encode("a\ud800b"), made.encode("a\ufffdb"));
});
