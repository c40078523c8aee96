/**
 * AdaMix's two passes. Wang et al. 2022, arXiv 2205.12410, section 3.2: each batch runs twice under routes and dropout of
 * its own, and the second pass pulls the first towards it and is pulled in turn.
 *
 *   L = CE(z¹, labels) + ½ [ KL(p² ‖ p¹) + KL(p¹ ‖ p²) ]      p = softmax(z), the left side of each KL a constant
 *
 * The mean is over labelled tokens. Only the first pass meets the labels, as in the authors' `symmetric_KL_loss`.
 */
import {
  type Adapter,
  type Batch,
  detach,
  fold,
  graft,
  type Key,
  key as keyOf,
  labelledLogits,
  type LossOptions,
  type Model,
  type Tensor,
  type Tree,
  valueAndGrad,
} from "../core/mod.ts";
import { add, crossEntropy, divide, integers, klDivergence, logSoftmax, multiply, sum } from "../ops/mod.ts";

/** Options of the loss: as any loss's, with the key that both passes draw from. */
export interface AdamixLossOptions extends LossOptions {
  /** Seed or key of the random numbers. */
  readonly key: number | Key;
}

/** The keys of the two passes. */
export function adamixKeys(key: number | Key): readonly [first: Key, second: Key] {
  return [fold(keyOf(key), "first"), fold(keyOf(key), "second")];
}

/** The loss of an adapted model as a scalar tensor: two passes in training mode. */
export function adamixLoss(model: Model, batch: Batch, options: AdamixLossOptions): Tensor {
  const [first, second] = adamixKeys(options.key);
  const one = labelledLogits(model, batch, { ...options, train: true, key: first });
  const two = labelledLogits(model, batch, { ...options, train: true, key: second });
  const [p, q] = [logSoftmax(one.logits), logSoftmax(two.logits)]; // [labels, v]
  const task = crossEntropy(one.logits, integers(one.ids, model.backend), options.labelSmoothing ?? 0);
  const apart = add(klDivergence(detach(q), p), klDivergence(detach(p), q));
  return divide(sum(add(task, multiply(apart, 0.5))), options.labelCount ?? one.ids.length);
}

/** Loss and gradients of the two passes, in the form of `lossAndGradients`. */
export function adamixGradients<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: AdamixLossOptions,
): { readonly value: Tensor; readonly gradients: Tree } {
  const lossOf = (params: P): Tensor => adamixLoss(graft(model, { ...adapter, params }), batch, options);
  return valueAndGrad(lossOf, options.lossScale)(adapter.params);
}
