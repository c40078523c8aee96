/** The ids that are put together from pieces are those that `@huggingface/tokenizers` gives to the text as a whole. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { type AddedToken, addedTokens, type TokenizerJson } from "../../formats/tokenizer_fields.ts";
import { FunctionNormalizer, normalizer } from "../../formats/tokenizer_normalizer.ts";
import { pieceEncoder } from "../../formats/tokenizer_pieces.ts";
import { preTokenizer } from "../../formats/tokenizer_split.ts";

const golden = (name: string): TokenizerJson =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  ).tokenizer;

function libraryOf(json: TokenizerJson, added: readonly AddedToken[]): LibraryTokenizer {
  const pre = preTokenizer(json.pre_tokenizer);
  const parts = {
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: pre,
    post_processor: null,
    decoder: null,
  };
  const library = new LibraryTokenizer({ ...json, ...parts }, {});
  if (json.normalizer) library.normalizer = new FunctionNormalizer(normalizer(json.normalizer));
  return library;
}

const lacks = (piece: string): never => assert.fail(`nothing for ${JSON.stringify(piece)}`);

const NAMES = ["gpt2", "smollm", "llama3", "qwen2", "roberta", "bert_uncased", "bert_cased", "t5", "llama2"];

for (const name of NAMES) {
  const json = golden(name);
  const [first] = addedTokens(json, {});
  // Tokens that take the white space at their sides, and one that begins as another does.
  const added = [
    ...addedTokens(json, {}),
    { id: 3, content: "<left>", special: true, lstrip: true },
    { id: 4, content: "<right>", special: true, rstrip: true },
    { id: 5, content: "<right>>", special: true },
  ];
  const library = libraryOf(json, added);
  const encode = pieceEncoder(libraryOf(json, added), added, lacks);
  const words = fc.constantFrom(
    ...[
      " ",
      "  ",
      "\n",
      "the",
      "The",
      "tokens",
      "don't",
      "we'll",
      "12",
      "3.14",
      "2026",
      "!",
      "…",
      "▁",
      "▁▁",
      "é",
      "é",
    ],
    ...[
      "語",
      "naïve",
      "\u{1F600}",
      "\u0085",
      "\ufeff",
      "_",
      "<",
      "<left>",
      "<right>",
      "<right>>",
      "unaffable",
      "zzzz",
    ],
    ...first === undefined ? [] : [first.content],
  );
  const texts = fc.oneof(
    fc.array(words, { maxLength: 30 }).map((some) => some.join("")),
    fc.string({ unit: "binary" }),
  );

  Deno.test(`pieces give the library's ids for ${name}`, () => {
    fc.assert(fc.property(texts, (text) => {
      const { ids } = library.encode(text, { add_special_tokens: false });
      assert.deepEqual(encode(text), ids, JSON.stringify(text));
      assert.deepEqual(encode(text), ids, "from memory");
    }));
  });
}

Deno.test("a piece is looked up once while it is remembered, and again when many others came after it", () => {
  const json = golden("gpt2");
  const library = libraryOf(json, []);
  const asked: string[] = [];
  const model = library.model!;
  const encodePieces = model.encode.bind(model);
  model.encode = (pieces) => {
    asked.push(...pieces);
    return encodePieces(pieces);
  };
  const encode = pieceEncoder(library, [], lacks);
  const ids = encode("one two");
  assert.deepEqual(encode("one two"), ids);
  assert.deepEqual(asked, ["one", "Ġtwo"]);
  const letter = (n: number): string => String.fromCharCode(97 + n % 26);
  for (let n = 0; n < 150_000; n++) { // more than two generations hold
    encode(letter(n) + letter(n / 26) + letter(n / 26 ** 2) + letter(n / 26 ** 3));
  }
  asked.length = 0;
  assert.deepEqual(encode("one two"), ids);
  assert.deepEqual(asked, ["one", "Ġtwo"]);
});

/** Models whose pieces are not independent of each other unless one looks. */
const ODD: Readonly<Record<string, object>> = {
  "unknown tokens in a row are one, across pieces, too": {
    model: { type: "Unigram", unk_id: 0, vocab: [["?", 0], ["a", -1], ["b", -2]] },
    pre_tokenizer: { type: "WhitespaceSplit" },
  },
  "a merge joins the end of a word to the next space": {
    model: {
      type: "BPE",
      vocab: { a: 0, "▁": 1, b: 2, "a▁": 3, "▁b": 4, x: 5 },
      merges: [["a", "▁"], ["▁", "b"]],
    },
  },
  "no merge does": {
    model: {
      type: "BPE",
      vocab: { a: 0, "▁": 1, b: 2, "▁b": 3, "▁▁": 4, x: 5 },
      merges: [["▁", "▁"], ["▁", "b"]],
    },
  },
};

for (const [what, json] of Object.entries(ODD)) {
  Deno.test(`pieces give the library's ids where ${what}`, () => {
    const library = libraryOf(json as TokenizerJson, []);
    const encode = pieceEncoder(libraryOf(json as TokenizerJson, []), [], lacks);
    fc.assert(fc.property(fc.string({ unit: fc.constantFrom("a", "b", "x", "▁", " ") }), (text) => {
      const written = "pre_tokenizer" in json ? text : text.replaceAll(" ", "");
      assert.deepEqual(encode(written), library.encode(written, { add_special_tokens: false }).ids, written);
    }));
  });
}

Deno.test("what the vocabulary cannot express is named", () => {
  const json = {
    model: { type: "WordLevel", vocab: { a: 0 }, unk_token: "?" },
    pre_tokenizer: { type: "Whitespace" },
  };
  const library = libraryOf(json as unknown as TokenizerJson, []);
  assert.throws(
    () =>
      pieceEncoder(library, [], (piece) => {
        throw new TypeError(piece);
      })("a beta a"),
    /^TypeError: beta$/,
  );
});
