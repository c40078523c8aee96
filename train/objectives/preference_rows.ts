/** Pairs of answers as rows: a row is a pair, and a batch of n rows has 2 n texts. */
import type { ExampleSizes } from "../micro_batch.ts";
import { collate } from "../collate.ts";
import { encodeExample } from "../encode.ts";
import type { EncodeOptions, ExampleTokenizer } from "../example_tokenizer.ts";
import type { Preference } from "../preferences.ts";
import type { Rows } from "../rows.ts";
import { targetCount, type Tokens } from "../truncation.ts";
import type { PreferenceBatch } from "./preference.ts";

/** The tokens of a pair. */
export interface TokenPair {
  /** The better answer after the prompt. */
  readonly chosen: Tokens;
  /** The other one after the same prompt. */
  readonly rejected: Tokens;
  /** By how much the reward of the chosen one is to be above the other's. */
  readonly margin?: number;
}

/** Pairs as rows; the length of a row is that of the longer answer, and it counts as one. */
export interface PreferenceRows extends Rows {
  /** Pair n. */
  pair(n: number): TokenPair;
  /** Tokens and labels of the texts: of pair n the chosen one at 2 n, the rejected one at 2 n + 1. */
  readonly texts: ExampleSizes;
  /** The batch of some pairs. */
  batch(numbers: readonly number[], pad: number): PreferenceBatch;
}

/**
 * Rows of pairs, encoded on demand. Of too long a prompt both answers see the same part.
 *
 * @throws as `encodeExample`, naming the location.
 * @example
 * ```ts
 * import { preferenceRows } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const digits = { encode: (text: string) => [...text].map(Number), chat: () => "", eos: 9 };
 * const pair = { chosen: { prompt: "12", answer: "3" }, rejected: { prompt: "12", answer: "45" } };
 * const rows = preferenceRows([pair], digits, { maxLength: 8, longPrompt: "refuse" });
 * assert.deepEqual(rows.batch([0], 0).inputIds, [[1, 2, 3, 9, 0], [1, 2, 4, 5, 9]]);
 * ```
 */
export function preferenceRows(
  pairs: readonly Preference[] | { readonly count: number; preference(n: number): Preference },
  tokenizer: ExampleTokenizer,
  options: EncodeOptions,
): PreferenceRows {
  const [count, pairOf] = "count" in pairs
    ? [pairs.count, (n: number) => pairs.preference(n)]
    : [pairs.length, (n: number) => pairs[n]!];
  return rowsOfPairs(count, (n) => encodedPair(pairOf(n), tokenizer, options));
}

/**
 * Rows of pairs that are tokenized already.
 *
 * @example
 * ```ts
 * import { preferenceRowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const rows = preferenceRowsFrom([{
 *   chosen: { inputIds: [1, 2], labels: [-100, 2] }, rejected: { inputIds: [1, 4, 5], labels: [-100, 4, 5] },
 * }]);
 * assert.deepEqual([rows.count, rows.lengths[0], rows.targets[0]], [1, 3, 1]);
 * ```
 */
export function preferenceRowsFrom(pairs: readonly TokenPair[]): PreferenceRows {
  return rowsOfPairs(pairs.length, (n) => pairs[n]!);
}

function rowsOfPairs(count: number, pair: (n: number) => TokenPair): PreferenceRows {
  const lengths = new Uint32Array(count);
  const texts = { lengths: new Uint32Array(2 * count), targets: new Uint32Array(2 * count) };
  for (let n = 0; n < count; n++) {
    const { chosen, rejected } = pair(n);
    lengths[n] = Math.max(chosen.inputIds.length, rejected.inputIds.length);
    for (const [i, { inputIds, labels }] of [chosen, rejected].entries()) {
      texts.lengths[2 * n + i] = inputIds.length;
      texts.targets[2 * n + i] = targetCount(labels);
    }
  }
  return {
    count,
    texts,
    lengths,
    targets: new Uint32Array(count).fill(1),
    textsInRow: 2,
    tokens: (n) => pair(n).chosen,
    pair,
    batch: (numbers, pad) => {
      const pairs = numbers.map(pair);
      const texts = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)];
      const { inputIds, labels, attentionMask } = collate(texts.map((_, i) => [i]), (i) => texts[i]!, {
        pad,
      });
      return {
        inputIds,
        labels,
        attentionMask,
        ...pairs.some(({ margin }) => margin !== undefined) &&
          { margins: pairs.map(({ margin = 0 }) => margin) },
      };
    },
  };
}

/** Longer than any row. */
const NO_LIMIT = 2 ** 31;

function encodedPair(
  { chosen, rejected, margin }: Preference,
  tokenizer: ExampleTokenizer,
  options: EncodeOptions,
): TokenPair {
  const whole = [chosen, rejected].map((example) =>
    encodeExample(example, tokenizer, { ...options, maxLength: NO_LIMIT })
  );
  const longest = Math.max(...whole.map(({ inputIds }) => inputIds.length));
  const [better, worse] = longest <= options.maxLength ? whole : [chosen, rejected].map((example, i) => {
    const shorter = longest - whole[i]!.inputIds.length;
    return encodeExample(example, tokenizer, { ...options, maxLength: options.maxLength - shorter });
  });
  return { chosen: better!, rejected: worse!, ...margin !== undefined && { margin } };
}
