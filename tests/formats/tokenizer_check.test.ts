/** A tokenizer.json that makes no sense is refused by field, as the Rust tokenizers refuse it; those that do pass. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { loadTokenizer, tokenizer } from "../../formats/tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

const golden = (name: string): Json =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  )
    .tokenizer;
const whole = golden("gpt2");
const model = whole["model"] as Json & { readonly vocab: Readonly<Record<string, number>> };
const pieces = golden("t5")["model"] as Json & { readonly vocab: readonly unknown[] };

const withModel = (fields: Json): Json => ({ ...whole, model: { ...model, ...fields } });
const withPieces = (fields: Json): Json => ({ ...whole, model: { ...pieces, ...fields } });
const [first, second] = Object.keys(model.vocab) as [string, string];

Deno.test("tokenizer() names the file and the field that makes no sense", () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [null, "its content"],
    [[], "its content"],
    [{}, "model"],
    [{ ...whole, model: [] }, "model"],
    [withModel({ type: "Byte" }), "model.type"],
    [withModel({ vocab: undefined }), "model.vocab"],
    [withModel({ vocab: {}, merges: [] }), "model.vocab"],
    [withModel({ vocab: ["a"] }), "model.vocab"],
    [withModel({ vocab: { ...model.vocab, zz: -1 } }), 'model.vocab["zz"]'],
    [withModel({ vocab: { ...model.vocab, zz: 1.5 } }), 'model.vocab["zz"]'],
    [withModel({ vocab: { ...model.vocab, zz: "7" } }), 'model.vocab["zz"]'],
    [withModel({ vocab: { ...model.vocab, [second]: model.vocab[first] } }), `model.vocab["${second}"]`],
    [withModel({ merges: undefined }), "model.merges"],
    [withModel({ merges: { a: "b" } }), "model.merges"],
    [withModel({ merges: ["h e", "he"] }), "model.merges[1]"],
    [withModel({ merges: ["h e", "h e r"] }), "model.merges[1]"],
    [withModel({ merges: ["h e", ["h", "e"]] }), "model.merges[1]"],
    [withModel({ merges: [["h", "e", "r"]] }), "model.merges[0]"],
    [withModel({ merges: [["h", ""]] }), "model.merges[0]"],
    [withModel({ merges: [["h", "no such token"]] }), "model.merges[0]"],
    [withModel({ merges: ["e h"], vocab: { e: 0, h: 1 } }), "model.merges[0]"],
    [withPieces({ vocab: [] }), "model.vocab"],
    [withPieces({ vocab: { a: 0 } }), "model.vocab"],
    [withPieces({ vocab: [...pieces.vocab, "a"] }), `model.vocab[${pieces.vocab.length}]`],
    [withPieces({ unk_id: pieces.vocab.length }), "model.unk_id"],
    [{ ...whole, added_tokens: { "0": "<s>" } }, "added_tokens"],
    [{ ...whole, added_tokens: ["<s>"] }, "added_tokens[0]"],
    [{ ...whole, added_tokens: [{ content: "<s>" }] }, "added_tokens[0].id"],
    [{ ...whole, added_tokens: [{ id: 3, content: "" }] }, "added_tokens[0].content"],
    [{ ...whole, pre_tokenizer: "ByteLevel" }, "pre_tokenizer"],
    [{ ...whole, pre_tokenizer: { type: "Sequence" } }, "pre_tokenizer.pretokenizers"],
    [{ ...whole, normalizer: { type: "Sequence", normalizers: [{}] } }, "normalizer.normalizers[0]"],
    [{ ...whole, decoder: {} }, "decoder"],
    [{ ...whole, post_processor: { type: "TemplateProcessing" } }, "post_processor.single"],
    [
      { ...whole, post_processor: { type: "TemplateProcessing", single: [{ Sequence: { id: "C" } }] } },
      "post_processor.single[0]",
    ],
  ];
  for (const [json, field] of cases) {
    const start = `Cannot use the/tokenizer.json: expected ${field} to be `;
    assert.throws(
      () => tokenizer({ tokenizer: json, name: "the/tokenizer.json" }),
      (error: Error) => error instanceof TypeError && error.message.startsWith(start),
      start,
    );
  }
});

Deno.test("tokenizer() names the file whose pattern is no pattern", () => {
  const pre_tokenizer = { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated", invert: false };
  assert.throws(
    () => tokenizer({ tokenizer: { ...whole, pre_tokenizer } }),
    /^TypeError: Cannot use tokenizer\.json: Invalid regular expression/,
  );
});

Deno.test("tokenizer() takes the golden files, whichever token a merge loses it is refused", () => {
  const merges = model["merges"] as readonly (readonly [string, string])[];
  const merge = fc.constantFrom(...merges.keys());
  fc.assert(
    fc.property(merge, fc.constantFrom(0, 1, 2), (at, part) => {
      const [left, right] = merges[at]!;
      const lost = [left, right, left + right][part]!;
      const vocab = Object.fromEntries(Object.entries(model.vocab).filter(([token]) => token !== lost));
      assert.throws(
        () => tokenizer({ tokenizer: withModel({ vocab }) }),
        /expected model\.merges\[\d+\] to be of/,
      );
      assert.ok(tokenizer({ tokenizer: withModel({ merges: merges.slice(0, at) }) }).vocabSize > 0);
    }),
    { numRuns: 20 },
  );
});

Deno.test("encode() takes a WordLevel vocabulary's unknown token, and refuses a text where there is none", () => {
  const words = { a: 0, b: 1, "[UNK]": 2 };
  const json = (fields: Json) => ({
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "Whitespace" },
    post_processor: null,
    decoder: null,
    model: { type: "WordLevel", vocab: words, ...fields },
  });
  assert.deepEqual(tokenizer({ tokenizer: json({ unk_token: "[UNK]" }) }).encode("b zz a"), [1, 2, 0]);
  const bare = tokenizer({ tokenizer: json({ unk_token: "<unk>" }) });
  assert.deepEqual(bare.encode("b a"), [1, 0]);
  assert.throws(() => bare.encode("b zz a"), /Cannot encode "zz": model\.vocab of tokenizer\.json lacks it/);
});

Deno.test("loadTokenizer() names a file of the folder that is no object", async () => {
  const folder = Deno.makeTempDirSync({ prefix: "graft-tokenizer-" });
  try {
    Deno.writeTextFileSync(`${folder}/tokenizer.json`, "[]");
    await assert.rejects(loadTokenizer(folder), /Cannot read .*\/tokenizer\.json: it is not a JSON object/);
    Deno.writeTextFileSync(`${folder}/tokenizer.json`, JSON.stringify(withModel({ merges: 5 })));
    await assert.rejects(
      loadTokenizer(folder),
      /Cannot use .*\/tokenizer\.json: expected model\.merges to be/,
    );
    Deno.writeTextFileSync(`${folder}/tokenizer.json`, JSON.stringify(whole));
    Deno.writeTextFileSync(`${folder}/tokenizer_config.json`, '"no object"');
    await assert.rejects(
      loadTokenizer(folder),
      /Cannot read .*\/tokenizer_config\.json: it is not a JSON object/,
    );
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
