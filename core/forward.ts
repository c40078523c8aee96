/** Running a model: logits, losses and gradients. */
import { read, scope, type Synchronous, type Tensor, type Tree, valueAndGrad } from "./tensor/mod.ts";
import { add, crossEntropy, divide, gatherRows, integers, multiply, reshape, sum } from "../ops/mod.ts";
import { graft } from "./graft.ts";
import type { Adapter } from "./method.ts";
import type { Batch, Cache, ForwardOptions, Model } from "./model.ts";

/** What a pass gives. */
export interface Output {
  /** [b, t, v]: one row of scores a token (or [b, labels] for a classifier). */
  readonly logits: Tensor;
  readonly cache: Cache | undefined;
}

/**
 * Runs a model on a batch. The caller owns the result: let an enclosing `scope` free it, or `dispose` it.
 *
 * @throws {RangeError} on ragged rows, ids outside the vocabulary, or a text longer than the model's context.
 */
export function forward(model: Model, batch: Batch, options: ForwardOptions = {}): Output {
  return scope((): Synchronous<Output> => {
    const { states, cache } = model.architecture.states(model, batch, options);
    return { logits: model.architecture.head(model, states, options), cache };
  });
}

/** How a loss is taken. */
export interface LossOptions extends ForwardOptions {
  /** Mixes the target with the uniform distribution (arXiv 1512.00567). Default 0. */
  readonly labelSmoothing?: number;
  /** Divide the summed loss by this instead of the batch's own number of labels (gradient accumulation). */
  readonly labelCount?: number;
}

/** Where the labels of a causal model are: row indices into [b · t] and the wanted ids, after the shift by one. */
export function labelledPositions(labels: readonly (readonly number[])[]): {
  readonly rows: readonly number[];
  readonly ids: readonly number[];
} {
  const rows: number[] = [];
  const ids: number[] = [];
  labels.forEach((row, b) => {
    for (let t = 0; t + 1 < row.length; t++) {
      if (row[t + 1] === -100) continue;
      rows.push(b * row.length + t);
      ids.push(row[t + 1]!);
    }
  });
  return { rows, ids };
}

/** Scores of the tokens that have a label [labels, v], and the labels. The head is computed only there. */
export function labelledLogits(
  model: Model,
  batch: Batch,
  options: ForwardOptions = {},
): { readonly logits: Tensor; readonly ids: readonly number[] } {
  const { rows, ids } = labelledPositions(batch.labels ?? []);
  if (rows.length === 0) throw new RangeError("Cannot take a loss: no token of the batch has a label");
  const { states } = model.architecture.states(model, batch, options);
  const flat = reshape(states, [-1, states.shape[states.shape.length - 1]!]); // [b·t, d]
  const chosen = gatherRows(flat, integers(rows, model.backend)); // [labels, d]
  return { logits: model.architecture.head(model, chosen, options), ids };
}

/**
 * Mean cross-entropy over the labelled tokens, as a scalar tensor.
 *
 * @throws {RangeError} when no token has a label.
 */
export function loss(model: Model, batch: Batch, options: LossOptions = {}): Tensor {
  const { logits, ids } = labelledLogits(model, batch, options);
  const each = crossEntropy(logits, integers(ids, model.backend), options.labelSmoothing ?? 0);
  return divide(sum(each), options.labelCount ?? ids.length);
}

/** A loss and gradients shaped like the trained parameters. */
export interface LossAndGradients {
  readonly loss: number;
  readonly grads: Tree;
}

/** The loss and gradients as tensors: for training loops, inside a scope. */
export function lossAndGradients<P extends Tree>(
  model: Model,
  adapter: Adapter<P>,
  batch: Batch,
  options: LossOptions = {},
): { readonly value: Tensor; readonly gradients: Tree } {
  return valueAndGrad((params: P) => {
    const data = loss(graft(model, { ...adapter, params }), batch, options);
    const penalty = adapter.method.penalty?.(params, model.spec);
    if (penalty === undefined) return data;
    // A micro-batch carries its share of the penalty, so that a step of several counts it once.
    const labels = labelledPositions(batch.labels ?? []).rows.length;
    return add(data, multiply(penalty, labels / (options.labelCount ?? labels)));
  })(adapter.params);
}

/**
 * The loss of an adapted model and its gradient for every trained parameter. `labels` as in transformers.
 *
 * @throws {RangeError} when the batch has no labels.
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
