/**
 * Odds ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691, equations 4, 6 and 7): supervised fine-tuning on the
 * chosen answer, and a term that makes its odds larger than those of the rejected one. No reference is needed.
 *
 *     L = −log π(y_w | x) / |y_w| − λ log σ( log odds(y_w | x) / odds(y_l | x) )       odds(y) = p / (1 − p)
 *
 * p is the geometric mean of the tokens' probabilities. The first term is about the answers alone, each as much as any other, as in
 * the paper; TRL's is the mean over all tokens of a batch, prompts included.
 */
import type { Tensor } from "../../core/mod.ts";
import { add, divide, log, mean, multiply, negate, subtract, tanh } from "../../ops/mod.ts";
import { answerLogProbabilities, meansOfTexts } from "./log_probabilities.ts";
import type { Objective } from "./objective.ts";
import { halves, logSigmoid, pairCount, rewardMetrics } from "./preference.ts";
import { rangeError } from "../../errors/error.ts";

/** How much the odds count. */
export interface OrpoOptions {
  /** λ, which TRL calls β. Default 0.1. */
  readonly beta?: number;
}

/**
 * The objective. Rows come from `preferenceRows`.
 *
 * @throws {RangeError} when β is not above 0.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { evaluateObjective, orpo, preferenceRowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = preferenceRowsFrom([{
 *   chosen: { inputIds: [1, 2, 3], labels: [-100, 2, 3] }, rejected: { inputIds: [1, 4], labels: [-100, 4] },
 * }]);
 * const { loss } = await evaluateObjective(model, rows, orpo({ beta: 0.1 }), { batchSize: 1, pad: 0 });
 * assert.ok(Math.abs(loss - Math.log(32) - 0.1 * Math.LN2) < 0.1); // fresh weights prefer nothing
 * ```
 */
export function orpo({ beta = 0.1 }: OrpoOptions = {}): Objective {
  if (!(beta > 0)) throw rangeError("INVALID_ARGUMENT", `Expected beta above 0 but found ${beta}`);
  return {
    units: pairCount,
    loss: (scores, batch) => {
      const sums = answerLogProbabilities(scores, batch.inputIds.length);
      const [chosen, rejected] = halves(meansOfTexts(sums, scores));
      const logOdds = subtract(
        subtract(chosen, rejected),
        subtract(logOneMinusExp(chosen), logOneMinusExp(rejected)),
      );
      const odds = mean(logSigmoid(logOdds));
      return {
        loss: negate(add(mean(chosen), multiply(odds, beta))),
        metrics: {
          ...rewardMetrics(multiply(chosen, beta), multiply(rejected, beta)),
          "log_odds_ratio": mean(logOdds),
        },
      };
    },
  };
}

/** log(1 − eˣ) for x < 0, as log(2 t / (1 + t)) with t = tanh(−x / 2): exact also near 0. */
function logOneMinusExp(x: Tensor): Tensor {
  const t = tanh(multiply(negate(x), 0.5));
  return log(divide(multiply(t, 2), add(t, 1)));
}
