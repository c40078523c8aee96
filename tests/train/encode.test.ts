import assert from "node:assert/strict";
import { encodeExample } from "../../train/encode.ts";
import type { ExampleTokenizer } from "../../train/example_tokenizer.ts";
import type { Example } from "../../train/examples.ts";

/** One token per character; bos is 1, eos 2; the template writes the characters « and » around messages. */
const tokenizer: ExampleTokenizer = {
  eos: 2,
  encode(text, { addSpecialTokens = true } = {}) {
    const ids = [...text].map((letter) => letter === "^" ? 1 : letter.codePointAt(0)!);
    return addSpecialTokens ? [1, ...ids] : ids;
  },
  chat(messages, { addGenerationPrompt = false } = {}) {
    const text = messages.map(({ role, content }) => `«${role[0]}:${content.trim()}»`).join("");
    return "^" + text + (addGenerationPrompt ? "«a:" : "");
  },
};

const show = (ids: readonly number[]): string =>
  ids.map((id) => id === -100 ? "_" : id === 1 ? "^" : id === 2 ? "$" : String.fromCodePoint(id)).join("");

const dialogue: Example = {
  prompt: [{ role: "user", content: "Sum up\n\n abcdef " }],
  body: " abcdef ",
  answer: "xyz",
  at: { file: "f.jsonl", line: 2 },
};
const encode = (example: Example, maxLength: number, keep: "head" | "tail") => {
  const { inputIds, labels } = encodeExample(example, tokenizer, { maxLength, longPrompt: { keep } });
  return [show(inputIds), show(labels)];
};

Deno.test("encodeExample() tokenizes the whole prompt by the chat template", () => {
  const [ids, labels] = encode(dialogue, 100, "head");
  assert.equal(ids, "^«u:Sum up\n\n abcdef»«a:xyz$");
  assert.equal(labels, "_".repeat(ids!.length - 4) + "xyz$");
});

Deno.test("encodeExample() shortens the dialogue and leaves template and instruction", () => {
  assert.equal(encode(dialogue, 24, "head")[0], "^«u:Sum up\n\n abc»«a:xyz$");
  assert.equal(encode(dialogue, 24, "tail")[0], "^«u:Sum up\n\n def»«a:xyz$");
});

Deno.test("encodeExample() keeps the opening of the answer when messages are shortened", () => {
  const chat: Example = { prompt: [{ role: "user", content: "abcdef" }], answer: "xyz" };
  assert.equal(encode(chat, 10, "head")[0], "^«u«a:xyz$");
  assert.equal(encode(chat, 10, "tail")[0], "ef»«a:xyz$");
});

Deno.test("encodeExample() keeps bos when a plain prompt is shortened, and drops an eos that the tokenizer adds", () => {
  const plain: Example = { prompt: "abcdef", answer: "xyz" };
  assert.equal(encode(plain, 7, "head")[0], "^abxyz$");
  assert.equal(encode(plain, 7, "tail")[0], "^efxyz$");
  const closing: ExampleTokenizer = {
    ...tokenizer,
    encode: (
      text,
      options,
    ) => [...tokenizer.encode(text, options), ...(options?.addSpecialTokens === false ? [] : [2])],
  };
  for (const [maxLength, expected] of [[50, "^abcdefxyz$"], [7, "^efxyz$"]] as const) {
    const row = encodeExample(plain, closing, { maxLength, longPrompt: { keep: "tail" } });
    assert.equal(show(row.inputIds), expected);
  }
});

Deno.test("encodeExample() names the line of a row that does not fit, and needs an end token", () => {
  const refuse = { maxLength: 12, longPrompt: "refuse" } as const;
  assert.throws(() => encodeExample(dialogue, tokenizer, refuse), /f\.jsonl line 2/);
  const { encode: encodeText, chat } = tokenizer;
  assert.throws(() => encodeExample(dialogue, { encode: encodeText, chat }, refuse), /no end token/);
});
