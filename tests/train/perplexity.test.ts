import assert from "node:assert/strict";
import { addLikelihoods, meanLoss, NO_LIKELIHOOD, perplexity } from "../../train/perplexity.ts";

Deno.test("perplexity() weighs tokens, not batches", () => {
  const parts = [{ negativeLogLikelihood: 8, tokens: 2 }, { negativeLogLikelihood: 2, tokens: 8 }];
  const all = parts.reduce(addLikelihoods, NO_LIKELIHOOD);
  assert.equal(meanLoss(all), 1);
  assert.equal(perplexity(all), Math.E);
});

Deno.test("perplexity() of a uniform model is its vocabulary's size", () => {
  const uniform = { negativeLogLikelihood: 7 * Math.log(49152), tokens: 7 };
  assert.ok(Math.abs(perplexity(uniform) / 49152 - 1) < 1e-13);
});

Deno.test("perplexity() refuses an empty evaluation", () => {
  assert.throws(() => perplexity(NO_LIKELIHOOD), /Cannot average a loss over 0 tokens/);
});
