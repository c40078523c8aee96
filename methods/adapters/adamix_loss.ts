/**
 * AdaMix's two passes. Wang et al. 2022, arXiv 2205.12410, section 3.2: each batch is run twice with
 * different routes and dropout, and a symmetric divergence pulls the two passes towards each other.
 *
 *   L = CE(z¹, labels) + ½ [ KL(p² ‖ p¹) + KL(p¹ ‖ p²) ]      p = softmax(z), the left side of each KL a constant
 *
 * The mean is over labelled tokens. Only the first pass is compared with the labels, as in the authors'
 * `symmetric_KL_loss`.
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
} from "../../core/mod.ts";
import {
  add,
  crossEntropy,
  divide,
  integers,
  klDivergence,
  logSoftmax,
  multiply,
  sum,
} from "../../ops/mod.ts";

/** Options of the loss, with the key from which both passes draw. */
export interface AdamixLossOptions extends LossOptions {
  /** Seed or key of the random numbers. */
  readonly key: number | Key;
}

/**
 * The keys of the two passes.
 *
 * @example
 * ```ts
 * import { adamixKeys } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const [first, second] = adamixKeys(7);
 * assert.notDeepEqual(first, second);
 * assert.deepEqual(adamixKeys(7), [first, second]);
 * ```
 */
export function adamixKeys(key: number | Key): readonly [first: Key, second: Key] {
  return [fold(keyOf(key), "first"), fold(keyOf(key), "second")];
}

/**
 * The loss of an adapted model as a scalar tensor: two passes in training mode.
 *
 * @example
 * ```ts
 * import { adamix, adapt, freshModel, graft, read, reference, smallConfig } from "@graft/peft";
 * import { adamixLoss } from "@graft/peft/recipes";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const batch = { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] };
 * const loss = adamixLoss(graft(model, adapt(model, adamix({ reduction: 4 }))), batch, { key: 1 });
 * assert.deepEqual(loss.shape, []);
 * assert.ok(Math.abs((await read(loss))[0]! - Math.log(32)) < 0.2); // the adapters start as nothing
 * ```
 */
export function adamixLoss(model: Model, batch: Batch, options: AdamixLossOptions): Tensor {
  const [first, second] = adamixKeys(options.key);
  const one = labelledLogits(model, batch, { ...options, train: true, key: first });
  const two = labelledLogits(model, batch, { ...options, train: true, key: second });
  const [p, q] = [logSoftmax(one.logits), logSoftmax(two.logits)]; // [labels, v]
  const task = crossEntropy(one.logits, integers(one.ids, model.backend), options.labelSmoothing ?? 0);
  const apart = add(klDivergence(detach(q), p), klDivergence(detach(p), q));
  return divide(sum(add(task, multiply(apart, 0.5))), options.labelCount ?? one.ids.length);
}

/**
 * Loss and gradients of the two passes, in the form of `lossAndGradients`.
 *
 * @example
 * ```ts
 * import { adamix, adapt, dispose, freshModel, reference, smallConfig } from "@graft/peft";
 * import { adamixGradients } from "@graft/peft/recipes";
 * import { rowsFrom, startTraining } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const start = adapt(model, adamix({ reduction: 4 }));
 * const run = await startTraining(model, start, rowsFrom([{ inputIds: [1, 2, 3], labels: [1, 2, 3] }]), {
 *   learningRate: 0.01, batching: { kind: "buckets", batchSize: 1 }, pad: 0, gradients: adamixGradients,
 * });
 * assert.ok((await run.next())!.gradientNorm > 0);
 * run.dispose();
 * dispose(start.params);
 * ```
 */
export function adamixGradients<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: AdamixLossOptions,
): { readonly value: Tensor; readonly gradients: Tree } {
  const lossOf = (params: P): Tensor => adamixLoss(graft(model, { ...adapter, params }), batch, options);
  return valueAndGrad(lossOf, options.lossScale)(adapter.params);
}
