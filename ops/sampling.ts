/**
 * Choosing the next token from a row of scores: temperature, then top-k (arXiv 1805.04833), then top-p
 * (nucleus, arXiv 1904.09751), in transformers' order. Works on host arrays, since it would only need kernels
 * for sorting and a cumulative sum of one row.
 */
import { bitsAt, type Key } from "../tensor/mod.ts";
import { rangeError } from "../errors/error.ts";
import { exp } from "../elementary/exponential.ts";

/** How to sample a token. Omitted options have no effect. */
export interface Sampler {
  /** Divides the scores; above 0, default 1. Small values approach greedy decoding. */
  readonly temperature?: number;
  /** Sample only from tokens that score at least as high as the k-th best; an integer above 0. */
  readonly topK?: number;
  /**
   * Sample only from the smallest set of best tokens whose probabilities reach this sum; above 0, at most 1.
   */
  readonly topP?: number;
}

/**
 * Checks a sampler's options.
 *
 * @throws {RangeError} when one is out of range.
 * @example
 * ```ts
 * import { checkSampler } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * checkSampler({ temperature: 0.7, topP: 0.9 });
 * assert.throws(() => checkSampler({ temperature: 0 }), /for the greedy choice give no sampler/);
 * ```
 */
export function checkSampler({ temperature = 1, topK = 1, topP = 1 }: Sampler): void {
  if (!(temperature > 0 && temperature < Infinity)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected temperature to be above 0 but found ${temperature}: for the greedy choice give no sampler`,
    );
  }
  if (!(Number.isInteger(topK) && topK > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected topK to be an integer above 0 but found ${topK}`);
  }
  if (!(topP > 0 && topP <= 1)) {
    throw rangeError("INVALID_ARGUMENT", `Expected topP to be above 0 and at most 1 but found ${topP}`);
  }
}

/**
 * The probabilities [v] with which a sampler draws each token, given its scores [v].
 *
 * @throws {RangeError} when no score is finite or one is NaN.
 * @example
 * ```ts
 * import { tokenProbabilities } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const scores = Float32Array.of(0, Math.log(3), -1, -2);
 * assert.deepEqual([...tokenProbabilities(scores, { topK: 2 })].map((p) => p.toFixed(2)), [
 *   "0.25",
 *   "0.75",
 *   "0.00",
 *   "0.00",
 * ]);
 * ```
 */
export function tokenProbabilities(logits: Float32Array, sampler: Sampler): Float64Array {
  const { temperature = 1, topK = Infinity, topP = 1 } = sampler;
  const scores = logits.map((score) => score / temperature);
  const top = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(top)) {
    throw rangeError("NOT_FINITE", `Cannot sample a token: the largest score is ${top}`);
  }
  if (topK < scores.length) hideBelow(scores, kthLargest(scores, topK));
  if (topP < 1) hideBelow(scores, ...nucleus(scores, top, topP));
  const weights = Float64Array.from(scores, (score) => exp(score - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

/**
 * A token's index drawn from scores [v]: a function of the key.
 *
 * @example
 * ```ts
 * import { key } from "@graft/peft/core";
 * import { sampleToken } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const scores = Float32Array.of(0, 5, 4);
 * const drawn = new Set(Array.from({ length: 100 }, (_, i) => sampleToken(scores, { topK: 2 }, key(i))));
 * assert.deepEqual([...drawn].sort(), [1, 2]); // the third is never drawn
 * ```
 */
export function sampleToken(logits: Float32Array, sampler: Sampler, key: Key): number {
  const probabilities = tokenProbabilities(logits, sampler);
  const [high, low] = [bitsAt(key, 0), bitsAt(key, 1)];
  let left = (high * 2 ** 21 + (low >>> 11)) * 2 ** -53; // uniform in [0, 1)
  let last = 0;
  for (const [i, p] of probabilities.entries()) {
    if (p === 0) continue;
    last = i;
    left -= p;
    if (left < 0) break;
  }
  return last; // the sum may fall short of 1 by rounding
}

/** Scores below the limit, and the first `ties` of those equal to it, become −∞. */
function hideBelow(scores: Float32Array, limit: number, ties = 0): void {
  let hidden = 0;
  for (let i = 0; i < scores.length; i++) {
    if (scores[i]! < limit || (scores[i] === limit && hidden++ < ties)) scores[i] = -Infinity;
  }
}

/** The limit of the nucleus, and how many scores equal to it are outside. At least one score is kept. */
function nucleus(scores: Float32Array, top: number, topP: number): readonly [limit: number, ties: number] {
  const rising = scores.filter((score) => score > -Infinity).sort();
  const weights = Float64Array.from(rising, (score) => exp(score - top));
  const outside = (1 - topP) * weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  let first = 0;
  while (first < rising.length - 1 && (sum += weights[first]!) <= outside) first++;
  return [rising[first]!, first - rising.indexOf(rising[first]!)];
}

/** The k-th largest value, by Hoare's selection (1961): linear on average, unlike sorting the vocabulary. */
function kthLargest(numbers: Float32Array, k: number): number {
  const work = numbers.slice();
  let [from, to] = [0, work.length - 1];
  while (from < to) {
    const pivot = work[k - 1]!;
    let [i, j] = [from, to];
    while (i <= j) {
      while (work[i]! > pivot) i++;
      while (work[j]! < pivot) j--;
      if (i > j) break;
      [work[i], work[j]] = [work[j]!, work[i]!];
      i++;
      j--;
    }
    if (j < k - 1) from = i;
    if (i > k - 1) to = j;
  }
  return work[k - 1]!;
}
