/**
 * What is trained for. An objective is a loss, a pure function of a batch and of the model's scores of its labels, and says what
 * that loss is a mean over. Everything else, the forward pass, the gradients, several batches in a step, is the same for all.
 */
import {
  type Adapter,
  type Batch,
  forward,
  type ForwardOptions,
  graft,
  labelledLogits,
  type LossOptions,
  type Measured,
  type Model,
  scope,
  type Synchronous,
  Tensor,
  type Tree,
  valueAndGrad,
} from "../../core/mod.ts";
import { add, multiply } from "../../ops/mod.ts";
import type { GradientFunction } from "../training.ts";

/** A model's scores of what has a label. */
export interface Scores {
  /** [labels, v], or [texts, n] of a model that scores whole texts by real numbers. */
  readonly logits: Tensor;
  /** The label of each row of scores; empty where there are real numbers. */
  readonly ids: readonly number[];
  /** The row of the batch that each row of scores belongs to. */
  readonly texts: readonly number[];
}

/** A loss for training. */
export interface Objective {
  /**
   * The loss: a scalar, the mean over the `units` of the batch, alone or with metrics that are means over them, too.
   *
   * @param beside What `beside` returned.
   */
  loss(scores: Scores, batch: Batch, beside?: Tensor): Tensor | Measured;
  /** The model's scores; default: of its labels. */
  scores?(model: Model, batch: Batch, options: ForwardOptions): Scores;
  /** What the loss is a mean over, as the rows' `targets` count it. Default: the labels. */
  units?(batch: Batch): number;
  /**
   * Numbers that the loss compares with: those of another model, say, or of the base without what is trained. Computed first,
   * without gradients.
   */
  beside?(batch: Batch, base: Model): Tensor;
}

/**
 * A model's scores of a batch.
 *
 * @example
 * ```ts
 * import { freshModel, reference, smallConfig } from "@graft/peft";
 * import { batchScores } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const { logits, texts } = batchScores(model, { inputIds: [[1, 2], [3, 4]], labels: [[-100, 2], [-100, 4]] });
 * assert.deepEqual([logits.shape, texts], [[2, 32], [0, 1]]);
 * ```
 */
export function batchScores(model: Model, batch: Batch, options: ForwardOptions = {}): Scores {
  const kind = model.architecture.labels(model);
  if (kind !== "scores" && kind !== "flags") {
    return labelledLogits(model, batch, { ...options, context: "ignored" });
  }
  const { logits } = forward(model, batch, options);
  return { logits, ids: [], texts: batch.inputIds.map((_, i) => i) };
}

/**
 * Loss and gradients by an objective, for the training loop. A method's penalty counts as in supervised fine-tuning.
 *
 * @example
 * ```ts
 * import { adapt, dispose, freshModel, lora, lossAndGrad, reference, smallConfig } from "@graft/peft";
 * import { crossEntropy, integers, mean, multiply } from "@graft/peft/ops";
 * import { type Objective, objectiveGradients, rowsFrom, startTraining } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const twice: Objective = {
 *   loss: ({ logits, ids }) => multiply(mean(crossEntropy(logits, integers(ids, logits.backend))), 2),
 * };
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const start = adapt(model, lora({ rank: 2 }));
 * const ids = [1, 2, 3];
 * const { loss, grads } = await lossAndGrad(model, start, { inputIds: [ids], labels: [ids] });
 * const run = await startTraining(model, start, rowsFrom([{ inputIds: ids, labels: ids }]), {
 *   learningRate: 0.01, batching: { kind: "buckets", batchSize: 1 }, pad: 0, gradients: objectiveGradients(twice),
 * });
 * const report = await run.next();
 * assert.ok(Math.abs(report!.loss - 2 * loss) < 1e-5);
 * run.dispose();
 * dispose([grads, start.params]);
 * ```
 */
export function objectiveGradients(objective: Objective): GradientFunction {
  return <P extends Tree>(
    model: Model,
    adapter: Adapter<P>,
    batch: Batch,
    options: LossOptions,
  ): ReturnType<GradientFunction> => {
    const beside = objective.beside && scope((): Synchronous<Tensor> => objective.beside!(batch, model));
    try {
      return valueAndGrad((params: P) => {
        const tuned = graft(model, { ...adapter, params });
        const scores = (objective.scores ?? batchScores)(tuned, batch, options);
        const { loss, metrics } = measured(objective.loss(scores, batch, beside));
        const units = unitsOf(objective, scores, batch);
        // A micro-batch contributes its share, so that a step of several is the mean over all of their units.
        const share = units / (options.labelCount ?? units);
        const penalty = adapter.method.penalty?.(params, model.spec);
        const whole = multiply(penalty === undefined ? loss : add(loss, penalty), share);
        const shares = Object.entries(metrics).map(([name, value]) =>
          [name, multiply(value, share)] as const
        );
        return { loss: whole, metrics: Object.fromEntries(shares) };
      }, options.lossScale)(adapter.params);
    } finally {
      beside?.storage.free();
    }
  };
}

/** A loss with its metrics, if it has any. */
export function measured(found: Tensor | Measured): Measured {
  return found instanceof Tensor ? { loss: found, metrics: {} } : found;
}

/** How much a batch counts. */
export function unitsOf(objective: Objective, scores: Scores, batch: Batch): number {
  return objective.units?.(batch) ?? scores.texts.length;
}
