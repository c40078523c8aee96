/**
 * Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290, equation 7). With the log-ratios
 * r = log π(y | x) − log π_ref(y | x) of the chosen answer (w) and the rejected one (l), and h = r_w − r_l,
 *
 *     sigmoid  −(1 − ε) log σ(β h) − ε log σ(−β h)
 *     hinge    max(0, 1 − β h)                              (Zhao et al. 2023, arXiv 2305.10425)
 *     ipo      (r_w / |y_w| − r_l / |y_l| − 1 / (2 β))²     (Azar et al. 2023, arXiv 2310.12036, equation 17)
 *     robust   (−(1 − ε) log σ(β h) + ε log σ(−β h)) / (1 − 2 ε)   (Chowdhury et al. 2024, arXiv 2403.00409)
 *
 * ε, the share of pairs that are labelled the wrong way round, is 0 by default. IPO divides by the answers' lengths in tokens, as in TRL.
 * Besides rewards the metrics have `kl`, how far the model is from its reference: by token π_ref / π − 1 − log π_ref / π, the estimate
 * that TRL's GRPO logs under this name (Schulman 2020, joschu.net/blog/kl-approx.html), in the mean over the tokens of each answer, then over
 * answers. It is 0 for equal models and never below.
 */
import { detach, type Model, type Tensor, tensor } from "../../core/mod.ts";
import { add, divide, exp, mean, multiply, negate, relu, square, subtract } from "../../ops/mod.ts";
import {
  batchLogProbabilities,
  meansOfTexts,
  sumsOfTexts,
  tokenLogProbabilities,
} from "./log_probabilities.ts";
import type { Objective, Scores } from "./objective.ts";
import { halves, logSigmoid, pairCount, type PreferenceBatch, rewardMetrics } from "./preference.ts";
import { rangeError } from "../../errors/error.ts";

/** How pairs are compared. */
export interface DpoOptions {
  /** β: how much a difference of log-ratios counts, and with it how far the model may move. Default 0.1. */
  readonly beta?: number;
  /** The loss of a pair. Default "sigmoid". */
  readonly loss?: "sigmoid" | "hinge" | "ipo" | "robust";
  /** ε of "sigmoid" and "robust", from 0 to below 1/2. Default 0. */
  readonly labelSmoothing?: number;
  /**
   * The model that rows are compared with whose log-probabilities `withReference` has not told. Default: the model without the
   * adapter that is trained, which takes no memory of its own.
   */
  readonly reference?: Model;
}

/**
 * The objective. Rows come from `preferenceRows`, and their reference from `withReference` or from a model.
 *
 * @throws {RangeError} when β is not above 0, or ε is not from 0 to below 1/2.
 * @example
 * ```ts
 * import { adapt, freshModel, lora, reference, smallConfig } from "@graft/peft";
 * import { dpo, evaluateObjective, preferenceRowsFrom, withReference } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = preferenceRowsFrom([{
 *   chosen: { inputIds: [1, 2, 3], labels: [-100, 2, 3] }, rejected: { inputIds: [1, 4], labels: [-100, 4] },
 * }]);
 * const known = await withReference(rows, model, { batchSize: 1, pad: 0 });
 * const { loss } = await evaluateObjective(model, known, dpo(), { batchSize: 1, pad: 0 });
 * assert.ok(Math.abs(loss - Math.LN2) < 1e-5); // the model is its own reference
 * ```
 */
export function dpo(options: DpoOptions = {}): Objective {
  const { beta = 0.1, loss = "sigmoid", labelSmoothing = 0, reference } = options;
  if (!(beta > 0)) throw rangeError("INVALID_ARGUMENT", `Expected beta above 0 but found ${beta}`);
  if (!(labelSmoothing >= 0 && labelSmoothing < 0.5)) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected labelSmoothing from 0 to below 0.5 but found ${labelSmoothing}`,
    );
  }
  const lossOf = (h: Tensor, ratios: Tensor, scores: Scores): Tensor => {
    const scaled = multiply(h, beta);
    const signed = (share: number): Tensor =>
      subtract(
        multiply(logSigmoid(scaled), labelSmoothing - 1),
        multiply(logSigmoid(negate(scaled)), share),
      );
    switch (loss) {
      case "sigmoid":
        return labelSmoothing === 0 ? negate(logSigmoid(scaled)) : signed(labelSmoothing);
      case "robust":
        return divide(signed(-labelSmoothing), 1 - 2 * labelSmoothing);
      case "hinge":
        return relu(add(negate(scaled), 1));
      case "ipo": {
        const [chosen, rejected] = halves(meansOfTexts(ratios, scores));
        return square(subtract(subtract(chosen, rejected), 1 / (2 * beta)));
      }
      default:
        return loss satisfies never;
    }
  };
  return {
    units: pairCount,
    beside: (batch, base) => referenceOf(batch, reference ?? base),
    loss: (scores, batch, beside) => {
      const count = batch.inputIds.length;
      const apart = subtract(tokenLogProbabilities(scores), beside!); // [labels]
      const ratios = sumsOfTexts(apart, scores, count); // [2n]
      const [chosen, rejected] = halves(ratios);
      return {
        loss: mean(lossOf(subtract(chosen, rejected), ratios, scores)),
        metrics: {
          ...rewardMetrics(multiply(chosen, beta), multiply(rejected, beta)),
          kl: mean(meansOfTexts(sumsOfTexts(divergence(detach(apart)), scores, count), scores)),
        },
      };
    },
  };
}

/** exp(−r) − 1 + r of log-ratios r. */
const divergence = (r: Tensor): Tensor => add(subtract(exp(negate(r)), 1), r);

/** The reference's log-probabilities of a batch's labels [labels]: as told, or computed. */
function referenceOf({ reference, ...batch }: PreferenceBatch, model: Model): Tensor {
  return reference === undefined
    ? batchLogProbabilities(model, batch)
    : tensor(reference, { backend: model.backend });
}
