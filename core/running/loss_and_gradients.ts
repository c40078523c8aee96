/** The loss of a grafted model with the gradients of the adapter's parameters. */
import { read, type Tensor, type Tree, valueAndGrad } from "../../tensor/mod.ts";
import { add, multiply } from "../../ops/mod.ts";
import { graft } from "../adapters/graft.ts";
import type { Adapter } from "../adapters/method.ts";
import type { Batch, Model } from "../trees/model.ts";
import { loss, type LossOptions, scoredCount } from "./loss.ts";

/** A loss and gradients shaped like the trained parameters. */
export interface LossAndGradients {
  /** Mean over everything that has a label. */
  readonly loss: number;
  /** Shaped like the trained parameters; owned by the caller. */
  readonly grads: Tree;
}

/**
 * The loss and gradients as tensors: for training loops, inside a scope.
 *
 * @example
 * ```ts
 * import {
 *   adapt, freshModel, ia3, leaves, lossAndGradients, reference, scope, smallConfig, type Tree,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, ia3());
 * const batch = { inputIds: [[1, 2]], labels: [[1, 2]] };
 * const step = scope(() => lossAndGradients(model, adapter, batch));
 * const paths = (tree: Tree) => leaves(tree).map(([path]) => path);
 * assert.deepEqual(paths(step.gradients), paths(adapter.params));
 * ```
 */
export function lossAndGradients<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: LossOptions = {},
): { readonly value: Tensor; readonly gradients: Tree } {
  return valueAndGrad((params: P) => {
    const tuned = graft(model, { ...adapter, params });
    const data = loss(tuned, batch, options);
    const penalty = adapter.method.penalty?.(params, model.spec);
    if (penalty === undefined) return data;
    // A micro-batch contributes its share of the penalty, so that a step of several micro-batches counts it
    // once.
    const labels = scoredCount(tuned, batch);
    return add(data, multiply(penalty, labels / (options.labelCount ?? labels)));
  }, options.lossScale)(adapter.params);
}

/**
 * The loss of an adapted model and its gradient for every trained parameter. `labels` as in transformers.
 *
 * @throws {RangeError} when the batch has no labels.
 * @example
 * ```ts
 * import {
 *   adapt, count, freshModel, leaves, lora, lossAndGrad, reference, smallConfig,
 * } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, lora({ rank: 2 }));
 * const { loss, grads } = await lossAndGrad(model, adapter, { inputIds: [[1, 2, 3]], labels: [[1, 2, 3]] });
 * assert.ok(loss > 3 && loss < 4);
 * const sizes = leaves(grads).map(([, gradient]) => gradient.size);
 * assert.equal(sizes.reduce((a, b) => a + b), count(model, adapter).trainable);
 * ```
 */
export async function lossAndGrad<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: LossOptions = {},
): Promise<LossAndGradients> {
  const { value, gradients } = lossAndGradients(model, adapter, batch, options);
  const [number] = await read(value);
  value.storage.free();
  return { loss: number!, grads: gradients };
}
