/** Log-probabilities of answers: log π(y | x), the sum over the labels of a text. */
import { type Batch, type Model, type Tensor, tensor } from "../../core/mod.ts";
import { crossEntropy, divide, integers, negate, scatterAddRows } from "../../ops/mod.ts";
import { batchScores, type Scores } from "./objective.ts";

/**
 * The summed log-probability of the labels of each text [b].
 *
 * @example
 * ```ts
 * import { read, reference } from "@graft/peft";
 * import { zeros } from "@graft/peft/ops";
 * import { answerLogProbabilities } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const scores = { logits: zeros([3, 4], reference()), ids: [0, 1, 3], texts: [0, 0, 1] };
 * const sums = await read(answerLogProbabilities(scores, 2));
 * assert.ok(Math.abs(sums[0]! + 2 * Math.log(4)) < 1e-6); // two tokens, each one of four
 * assert.ok(Math.abs(sums[1]! + Math.log(4)) < 1e-6);
 * ```
 */
export function answerLogProbabilities(scores: Scores, count: number): Tensor {
  return sumsOfTexts(tokenLogProbabilities(scores), scores, count);
}

/** The log-probability of each label [labels]. */
export function tokenLogProbabilities({ logits, ids }: Scores): Tensor {
  return negate(crossEntropy(logits, integers(ids, logits.backend)));
}

/** Sums over the labels of each text [b]. */
export function sumsOfTexts(each: Tensor, { texts }: Pick<Scores, "texts">, count: number): Tensor {
  return scatterAddRows(each, integers(texts, each.backend), count, []);
}

/** The mean over the labels of each text [b], from their sums. */
export function meansOfTexts(sums: Tensor, { texts }: Pick<Scores, "texts">): Tensor {
  return divide(sums, labelCounts(texts, sums));
}

/** How many labels each text has [b]; at least 1. */
function labelCounts(texts: readonly number[], like: Tensor): Tensor {
  const counts = new Array<number>(like.shape[0]!).fill(0);
  for (const text of texts) counts[text]!++;
  return tensor(counts.map((count) => Math.max(1, count)), { backend: like.backend });
}

/** log π of each labelled token of a batch under a model [labels], text after text. */
export function batchLogProbabilities(model: Model, batch: Batch): Tensor {
  return tokenLogProbabilities(batchScores(model, batch));
}
