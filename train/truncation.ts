/**
 * From token ids to one training row, and what happens to a prompt that is too long:
 *
 *     inputIds = before | body | after | answer | eos        labels = -100 … -100 | answer | eos
 *
 * Only `body` is ever shortened. The answer is never truncated: that would teach the model to stop early, so
 * an answer that does not fit is an error.
 */
import { type Location, showLocation } from "./jsonl.ts";
import { rangeError } from "../errors/error.ts";

/** The label that the loss ignores, as in PyTorch and transformers. */
export const IGNORED: -100 = -100;

/** One row: ids and labels of equal length. Labels are not shifted; position i predicts label i + 1. */
export interface Tokens {
  /** Token ids. */
  readonly inputIds: readonly number[];
  /** One label per id; −100 for no loss. */
  readonly labels: readonly number[];
}

/** A prompt in three parts, of which the middle one may be shortened. */
export interface PromptTokens {
  /** The part before, such as the template's opening and the instruction. Default: nothing. */
  readonly before?: readonly number[];
  /** The part that may be shortened. */
  readonly body: readonly number[];
  /** The part after, such as the template's opening of the answer. Default: nothing. */
  readonly after?: readonly number[];
}

/** What to do with a body that is too long: keep its beginning, keep its end, or throw. */
export type LongPrompt = { readonly keep: "head" | "tail" } | "refuse";

/** The maximum length and what to do when it is exceeded. */
export interface TruncationOptions {
  /** Maximum number of tokens in a row, including the end token. */
  readonly maxLength: number;
  /** What to do with a prompt that is too long. */
  readonly longPrompt: LongPrompt;
  /** The token that ends an answer; absent where the answer has its end. */
  readonly eos?: number;
  /** The location named in errors. */
  readonly at?: Location;
}

/**
 * One row of at most `maxLength` tokens.
 *
 * @throws {RangeError} when the answer and its end token leave no room for the prompt's fixed parts and one
 * token of its body, when the body is too long and `longPrompt` is "refuse", or when the answer is empty.
 * @example
 * ```ts
 * import { joinTokens } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const row = joinTokens({ body: [1, 2, 3, 4] }, [7], { maxLength: 4, longPrompt: { keep: "tail" }, eos: 9 });
 * assert.deepEqual(row, { inputIds: [3, 4, 7, 9], labels: [-100, -100, 7, 9] });
 * ```
 */
export function joinTokens(
  prompt: PromptTokens,
  answer: readonly number[],
  options: TruncationOptions,
): Tokens {
  const { maxLength, longPrompt, eos, at } = options;
  const where = at === undefined ? "" : `${showLocation(at)}: `;
  if (!Number.isInteger(maxLength) || maxLength < 1) {
    throw rangeError(
      "DATA_INVALID",
      `Expected maxLength to be an integer greater than 0 but found ${maxLength}`,
    );
  }
  if (answer.length === 0) throw rangeError("DATA_INVALID", `${where}the answer has no tokens`);
  const { before = [], body, after = [] } = prompt;
  const closed = eos === undefined ? answer : [...answer, eos];
  const ending = closed.length;
  if (ending > maxLength) {
    throw rangeError(
      "TEXT_TOO_LONG",
      `${where}the answer has ${ending} tokens with its end token, more than the ${maxLength} that a row may have; raise maxLength or shorten the answer`,
    );
  }
  const room = maxLength - ending - before.length - after.length;
  // An answer without any of its question teaches nothing, and its first token could not be predicted at all.
  if (room < Math.min(1, body.length)) {
    throw rangeError(
      "TEXT_TOO_LONG",
      `${where}the answer (${ending} tokens) and the fixed part of the prompt (${
        before.length + after.length
      }) leave no room for the rest of the prompt in ${maxLength} tokens; raise maxLength`,
    );
  }
  if (body.length > room && longPrompt === "refuse") {
    const total = before.length + body.length + after.length + ending;
    throw rangeError(
      "TEXT_TOO_LONG",
      `${where}prompt and answer have ${total} tokens, more than the ${maxLength} that a row may have; raise maxLength or keep only the head or the tail of long prompts`,
    );
  }
  const kept = longPrompt === "refuse" || body.length <= room
    ? body
    : longPrompt.keep === "head"
    ? body.slice(0, room)
    : body.slice(body.length - room);
  const promptIds = [...before, ...kept, ...after];
  return {
    inputIds: [...promptIds, ...closed],
    labels: [...promptIds.map(() => IGNORED), ...closed],
  };
}

/**
 * The labels of a row that the loss counts: all except ignored ones and the first, which nothing predicts.
 *
 * @example
 * ```ts
 * import { targetCount } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(targetCount([5, -100, 7, 8]), 2); // nothing predicts the first
 * ```
 */
export function targetCount(labels: readonly number[]): number {
  return labels.reduce((count, label, i) => (i > 0 && label !== IGNORED ? count + 1 : count), 0);
}
