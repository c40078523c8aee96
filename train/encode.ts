/**
 * From an example to one training row, by a model's tokenizer and chat template. A row that fits is tokenized
 * whole, as in `generate`. Only a row that does not fit is split, so that only the example's body is
 * truncated and never the template around it.
 */
import { encodeConversation } from "./conversation.ts";
import type { Example } from "./examples.ts";
import { showLocation } from "./jsonl.ts";
import type { EncodeOptions, ExampleTokenizer } from "./example_tokenizer.ts";
import { joinTokens, type PromptTokens, type Tokens } from "./truncation.ts";
import { rangeError, typeError } from "../errors/error.ts";

/**
 * One row: the prompt's tokens with label -100, then the answer's and the end token. Of a conversation every message that is
 * learned has labels, see `encodeConversation`; of a raw text all tokens have.
 *
 * @throws {TypeError} when the tokenizer has no end token.
 * @throws {RangeError} as `joinTokens`.
 * @example
 * ```ts
 * import { encodeExample } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const digits = { encode: (text: string) => [...text].map(Number), chat: () => "", eos: 9 };
 * const row = encodeExample({ prompt: "12", answer: "3" }, digits, { maxLength: 8, longPrompt: "refuse" });
 * assert.deepEqual(row, { inputIds: [1, 2, 3, 9], labels: [-100, -100, 3, 9] });
 * ```
 */
export function encodeExample(example: Example, tokenizer: ExampleTokenizer, options: EncodeOptions): Tokens {
  const { eos } = tokenizer;
  if (eos === undefined) {
    throw typeError(
      "TOKENIZER_UNSUPPORTED",
      "Cannot train on answers: the tokenizer has no end token (eos) to close them with",
    );
  }
  const { at, conversation } = example;
  if (example.text === true) return encodeText(example, tokenizer, { ...options, eos });
  if (conversation !== undefined) {
    return encodeConversation(conversation, tokenizer, { ...options, eos, ...at && { at } });
  }
  const answer = tokenizer.encode(example.answer, { addSpecialTokens: false });
  const whole = wholePrompt(example, tokenizer, eos);
  const fits = whole.length + answer.length + 1 <= options.maxLength;
  const prompt = fits ? { body: whole } : promptInPieces(example, tokenizer, eos);
  return joinTokens(prompt, answer, { ...options, eos, ...at && { at } });
}

/** A raw text: special tokens around it, all of it learned; too long a one is cut. */
function encodeText(
  { answer, at }: Example,
  tokenizer: ExampleTokenizer,
  { maxLength, longPrompt, eos }: EncodeOptions & { readonly eos: number },
): Tokens {
  const plain = tokenizer.encode(answer);
  const ids = plain.at(-1) === eos ? plain : [...plain, eos];
  if (ids.length > maxLength && longPrompt === "refuse") {
    throw rangeError(
      "TEXT_TOO_LONG",
      `${
        at ? `${showLocation(at)}: ` : ""
      }the text has ${ids.length} tokens, more than the ${maxLength} that a row may have; ` +
        "raise maxLength or keep only the head or the tail",
    );
  }
  const inputIds = longPrompt !== "refuse" && longPrompt.keep === "tail"
    ? ids.slice(-maxLength)
    : ids.slice(0, maxLength);
  return { inputIds, labels: inputIds };
}

function wholePrompt({ prompt }: Example, tokenizer: ExampleTokenizer, eos: number): readonly number[] {
  if (typeof prompt === "string") return opened(tokenizer.encode(prompt), eos);
  // A chat template writes its own special tokens.
  return tokenizer.encode(tokenizer.chat(prompt, { addGenerationPrompt: true }), { addSpecialTokens: false });
}

/** Tokenizers that close every text with an end token must not close the prompt: the answer continues it. */
function opened(ids: readonly number[], eos: number): readonly number[] {
  return ids.at(-1) === eos ? ids.slice(0, -1) : ids;
}

function promptInPieces({ prompt, body }: Example, tokenizer: ExampleTokenizer, eos: number): PromptTokens {
  const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  if (typeof prompt === "string") {
    const ids = opened(tokenizer.encode(prompt), eos);
    const rest = plain(prompt);
    // Tokens that the tokenizer added in front, such as bos, are kept whichever end of the text is kept.
    const added = Math.max(0, ids.length - rest.length);
    return { before: ids.slice(0, added), body: ids.slice(added) };
  }
  const text = tokenizer.chat(prompt, { addGenerationPrompt: true });
  // Templates may trim a message, so the body is searched for without surrounding white space.
  const inner = body?.trim() ?? "";
  const start = inner === "" ? -1 : text.lastIndexOf(inner);
  if (start !== -1) {
    return {
      before: plain(text.slice(0, start)),
      body: plain(inner),
      after: plain(text.slice(start + inner.length)),
    };
  }
  const conversation = tokenizer.chat(prompt, { addGenerationPrompt: false });
  if (!text.startsWith(conversation)) return { body: plain(text) };
  return { body: plain(conversation), after: plain(text.slice(conversation.length)) };
}
