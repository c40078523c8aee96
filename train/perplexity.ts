/**
 * Evaluation loss and perplexity over any number of batches, from exact sums, so that short batches are
 * weighted correctly.
 */
import { rangeError } from "../errors/error.ts";
import { exp } from "../elementary/exponential.ts";

/** A sum over the labels that the loss counts. */
export interface Likelihood {
  /** Summed negative log likelihood, in nats. */
  readonly negativeLogLikelihood: number;
  /** Labels counted. */
  readonly tokens: number;
}

/** The empty sum. */
export const NO_LIKELIHOOD: Likelihood = { negativeLogLikelihood: 0, tokens: 0 };

/**
 * The sums of two parts of the data together.
 *
 * @example
 * ```ts
 * import { addLikelihoods, NO_LIKELIHOOD } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const parts = [{ negativeLogLikelihood: 6, tokens: 3 }, { negativeLogLikelihood: 1, tokens: 4 }];
 * assert.deepEqual(parts.reduce(addLikelihoods, NO_LIKELIHOOD), { negativeLogLikelihood: 7, tokens: 7 });
 * ```
 */
export function addLikelihoods(a: Likelihood, b: Likelihood): Likelihood {
  return {
    negativeLogLikelihood: a.negativeLogLikelihood + b.negativeLogLikelihood,
    tokens: a.tokens + b.tokens,
  };
}

/**
 * The mean loss, in nats per token.
 *
 * @throws {RangeError} when no token was counted.
 * @example
 * ```ts
 * import { meanLoss } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(meanLoss({ negativeLogLikelihood: 6, tokens: 3 }), 2);
 * ```
 */
export function meanLoss({ negativeLogLikelihood, tokens }: Likelihood): number {
  if (!(tokens > 0)) throw rangeError("INVALID_ARGUMENT", `Cannot average a loss over ${tokens} tokens`);
  return negativeLogLikelihood / tokens;
}

/**
 * exp(mean loss): the number of equally likely tokens with the same uncertainty. Infinity when that
 * overflows.
 *
 * @throws {RangeError} when no token was counted.
 * @example
 * ```ts
 * import { perplexity } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const uniform = { negativeLogLikelihood: 3 * Math.log(50), tokens: 3 };
 * assert.ok(Math.abs(perplexity(uniform) - 50) < 1e-12);
 * ```
 */
export function perplexity(likelihood: Likelihood): number {
  return exp(meanLoss(likelihood));
}
