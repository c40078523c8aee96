/**
 * Token-level distillation (Hinton et al. 2015, arXiv 1503.02531; both directions: Agarwal et al. 2023, arXiv 2306.13649). With the
 * distributions p of the teacher and q of the model over the next token, both of scores divided by the temperature T,
 *
 *     forward   T² KL(p ‖ q)        covers all that the teacher would say
 *     reverse   T² KL(q ‖ p)        keeps to what the teacher finds likely
 *
 * in the mean over labelled tokens. The teacher is another model of the same vocabulary, or the same one with a text in front, which is so
 * distilled into the adapter (Snell et al. 2022, arXiv 2209.15189). T² keeps the gradients' size for any T.
 */
import { type Batch, type Model, scope, type Synchronous, type Tensor } from "../../core/mod.ts";
import { divide, klDivergence, logSoftmax, mean, multiply } from "../../ops/mod.ts";
import { batchScores, type Objective } from "./objective.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Who teaches, and how. */
export interface DistillOptions {
  /** The teacher. Default: the base without what is trained, which has something to teach with a `prompt`. */
  readonly teacher?: Model;
  /** Ids that the teacher sees in front of every text. */
  readonly prompt?: readonly number[];
  /** Which divergence. Default "forward". */
  readonly direction?: "forward" | "reverse";
  /** T, default 1. */
  readonly temperature?: number;
}

/**
 * The objective. Labels say which tokens are compared; what they are does not matter.
 *
 * @throws {RangeError} when the temperature is not above 0; in training when the vocabularies differ.
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { distill, evaluateObjective, rowsFrom } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const rows = rowsFrom([{ inputIds: [1, 2, 3], labels: [-100, 2, 3] }]);
 * const options = { batchSize: 1, pad: 0 };
 * const itself = await evaluateObjective(model, rows, distill({ teacher: model }), options);
 * assert.ok(Math.abs(itself.loss) < 1e-6);
 * const prompted = await evaluateObjective(model, rows, distill({ prompt: [7, 8] }), options);
 * assert.ok(prompted.loss > 0);
 * ```
 */
export function distill(options: DistillOptions): Objective {
  const { teacher, prompt = [], direction = "forward", temperature = 1 } = options;
  if (!(temperature > 0)) {
    throw rangeError("INVALID_ARGUMENT", `Expected a temperature above 0 but found ${temperature}`);
  }
  if (teacher === undefined && prompt.length === 0) {
    throw typeError(
      "INVALID_ARGUMENT",
      "Expected a teacher, or a prompt in front of the base as its own teacher",
    );
  }
  const spread = (logits: Tensor): Tensor => logSoftmax(divide(logits, temperature));
  return {
    beside: (batch, base) =>
      scope((): Synchronous<Tensor> => spread(batchScores(teacher ?? base, prompted(batch, prompt)).logits)),
    loss: ({ logits }, _, beside) => {
      const [taught, own] = [beside!, spread(logits)];
      if (taught.shape[1] !== own.shape[1]) {
        throw rangeError(
          "INVALID_BATCH",
          `Cannot distill from a teacher with a vocabulary of ${taught.shape[1]}: the model has ${
            own.shape[1]
          }`,
        );
      }
      const apart = direction === "forward" ? klDivergence(taught, own) : klDivergence(own, taught);
      return multiply(mean(apart), temperature * temperature);
    },
  };
}

/** A batch with a prompt in front of each row, which has no labels. */
function prompted(batch: Batch, prompt: readonly number[]): Batch {
  if (prompt.length === 0) return batch;
  if (batch.segmentIds !== undefined || batch.positionIds !== undefined) {
    throw rangeError("INVALID_BATCH", "Cannot put a prompt before packed texts: use buckets");
  }
  const { inputIds, attentionMask, labels } = batch;
  return {
    inputIds: inputIds.map((row) => [...prompt, ...row]),
    ...attentionMask && { attentionMask: attentionMask.map((row) => [...prompt.map(() => 1), ...row]) },
    labels: (labels as readonly (readonly number[])[]).map((row) => [...prompt.map(() => -100), ...row]),
  };
}
