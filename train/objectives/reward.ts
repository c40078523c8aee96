/**
 * Reward models (Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155, equation 1; margins: Touvron et al. 2023,
 * arXiv 2307.09288, equation 2). For a model that scores a text by one number r,
 *
 *     L = −log σ(r_w − r_l − m) + c (r_w + r_l)²
 *
 * with the pair's margin m, by default 0, and c ≥ 0, which keeps rewards near 0 (Eisenstein et al. 2023, arXiv 2312.09244).
 */
import { type Tensor, tensor } from "../../core/mod.ts";
import { add, mean, multiply, negate, reshape, square, subtract } from "../../ops/mod.ts";
import type { Objective } from "./objective.ts";
import { halves, logSigmoid, pairCount, type PreferenceBatch, rewardMetrics } from "./preference.ts";
import { typeError } from "../../errors/error.ts";

/** How rewards are learned. */
export interface RewardOptions {
  /** c. Default 0. */
  readonly center?: number;
}

/**
 * The objective, for models with a head of one score. Rows come from `preferenceRows`.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import { evaluateObjective, preferenceRowsFrom, reward } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const config = taskConfig(smallConfig("bert"), { kind: "score" });
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * const same = { inputIds: [1, 2, 3], labels: [-100, 2, 3] };
 * const rows = preferenceRowsFrom([{ chosen: same, rejected: same }]);
 * const { loss } = await evaluateObjective(model, rows, reward(), { batchSize: 1, pad: 0 });
 * assert.ok(Math.abs(loss - Math.LN2) < 1e-6); // equal texts have equal rewards
 * ```
 */
export function reward({ center = 0 }: RewardOptions = {}): Objective {
  return {
    units: pairCount,
    loss: ({ logits }, batch) => {
      if (logits.shape[1] !== 1) {
        throw typeError(
          "INVALID_BATCH",
          `Expected a model that gives a text one score but found ${logits.shape[1]}`,
        );
      }
      const [chosen, rejected] = halves(reshape(logits, [-1]));
      const apart = subtract(chosen, rejected);
      const { margins } = batch as PreferenceBatch;
      const wanted = margins === undefined
        ? apart
        : subtract(apart, tensor(margins, { backend: logits.backend }));
      const ranking: Tensor = negate(mean(logSigmoid(wanted)));
      return {
        loss: center === 0 ? ranking : add(ranking, multiply(mean(square(add(chosen, rejected))), center)),
        metrics: rewardMetrics(chosen, rejected),
      };
    },
  };
}
