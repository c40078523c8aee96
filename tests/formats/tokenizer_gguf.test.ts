/**
 * Tokenizers from GGUF metadata against Hugging Face tokenizers, transformers and sentencepiece; the files were made by
 * tests/oracles/tokenizer_goldens.py. Set GRAFT_SMOLLM2 to the path of SmolLM2-135M-Instruct.Q4_1.gguf for the last tests.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { openGguf } from "../../formats/gguf.ts";
import { ggufTokenizer } from "../../formats/gguf_tokenizer.ts";

const read = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  );
const metadata = (name: string): ReadonlyMap<string, unknown> => new Map(Object.entries(read(name).metadata));

for (const name of ["gpt-2", "smollm", "llama-bpe", "qwen2", "llama"]) {
  Deno.test(`ggufTokenizer() gives the ids and texts of the tokenizer behind the file for ${name}`, () => {
    const golden = read(`gguf_${name}`);
    const texts: readonly string[] = golden.texts ?? read("texts");
    const made = ggufTokenizer(metadata(`gguf_${name}`));
    texts.forEach((text, i) => {
      assert.deepEqual(made.encode(text, { addSpecialTokens: false }), golden.plain[i], JSON.stringify(text));
      assert.deepEqual(made.encode(text), golden.special[i], JSON.stringify(text));
      assert.equal(made.decode(golden.plain[i]), golden.decoded[i], JSON.stringify(text));
    });
  });
}

for (const name of ["gpt-2", "smollm", "llama-bpe"]) {
  Deno.test(`ggufTokenizer() decodes what it encoded for ${name}`, () => {
    const made = ggufTokenizer(metadata(`gguf_${name}`));
    fc.assert(fc.property(
      fc.oneof(fc.string({ unit: "binary", maxLength: 40 }), fc.string({ unit: "grapheme", maxLength: 20 })),
      (text) => assert.equal(made.decode(made.encode(text, { addSpecialTokens: false })), text),
    ));
  });
}

Deno.test("ggufTokenizer() sets special tokens apart, and decode leaves them out when asked", () => {
  const made = ggufTokenizer(metadata("gguf_smollm"));
  assert.equal(made.id("<|im_start|>"), 1);
  assert.equal(made.token(2), "<|im_end|>");
  assert.equal(made.decode([1, ...made.encode("hi"), 2, 99999], { skipSpecialTokens: true }), "hi");
});

Deno.test("ggufTokenizer() follows the file's flags for BOS and the leading space", () => {
  const llama = (fields: Record<string, unknown>) =>
    ggufTokenizer(new Map([...metadata("gguf_llama"), ...Object.entries(fields)]));
  const text = "the dog";
  const plain = llama({}).encode(text, { addSpecialTokens: false });
  assert.deepEqual(llama({ "tokenizer.ggml.add_bos_token": false }).encode(text), plain);
  assert.deepEqual(llama({ "tokenizer.ggml.add_eos_token": true }).encode(text), [1, ...plain, 2]);
  const bare = llama({ "tokenizer.ggml.add_space_prefix": false });
  assert.deepEqual(bare.encode(" " + text), [1, ...plain]);
  assert.equal(bare.decode(plain), " " + text);
});

Deno.test("ggufTokenizer() says what is missing or not known", () => {
  const base = metadata("gguf_gpt-2");
  const without = (key: string) => new Map([...base].filter(([k]) => k !== key));
  assert.throws(() => ggufTokenizer(without("tokenizer.ggml.tokens")), /Expected tokenizer.ggml.tokens/);
  assert.throws(() => ggufTokenizer(without("tokenizer.ggml.merges")), /Expected tokenizer.ggml.merges/);
  assert.throws(() => ggufTokenizer(new Map([...base, ["tokenizer.ggml.model", "rwkv"]])), /found "rwkv"/);
  assert.throws(() => ggufTokenizer(base, { pre: "nothing" }), /known pre-tokenizer .* but found "nothing"/);
  assert.throws(
    () => ggufTokenizer(new Map([...metadata("gguf_llama"), ["tokenizer.ggml.scores", [0]]])),
    /Expected tokenizer.ggml.scores to hold 640 scores/,
  );
});

const path = Deno.env.get("GRAFT_SMOLLM2") ?? "";
const smollm2 = { ignore: !existsSync(path) };

Deno.test("ggufTokenizer() gives the ids of the published tokenizer for SmolLM2", smollm2, () => {
  const file = openGguf(path);
  const made = ggufTokenizer(file.metadata);
  file.close();
  const golden = read("smollm2");
  golden.texts.forEach((text: string, i: number) => {
    assert.deepEqual(made.encode(text), golden.plain[i], JSON.stringify(text));
  });
  assert.equal(made.vocabSize, 49152);
  assert.deepEqual([made.bos, made.eos, made.pad, made.unk], [1, 2, 2, 0]);
});

Deno.test('ggufTokenizer() with { pre: "gpt-2" } gives the ids of transformers for SmolLM2', smollm2, () => {
  const file = openGguf(path);
  const made = ggufTokenizer(file.metadata, { pre: "gpt-2" });
  file.close();
  const golden = read("smollm2");
  golden.texts.forEach((text: string, i: number) => {
    assert.deepEqual(
      made.encode(text),
      golden.transformers[String(i)] ?? golden.plain[i],
      JSON.stringify(text),
    );
  });
});

Deno.test("ggufTokenizer() writes SmolLM2's chats", smollm2, () => {
  const file = openGguf(path);
  const made = ggufTokenizer(file.metadata);
  file.close();
  const rows = read("chat").rows.filter((row: { template: string }) => row.template === "smollm2");
  assert.ok(rows.length > 0);
  for (const { messages, prompt, text } of rows) {
    assert.equal(made.chat(messages, { addGenerationPrompt: prompt }), text);
  }
});
