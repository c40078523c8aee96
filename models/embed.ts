/** `embed`: one vector per text, from a model without a head. */
import {
  type Batch,
  forward,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
} from "../core/mod.ts";
import { divide, maximum, multiply, reshape, slice, sqrt, sum, sumOfSquares } from "../ops/mod.ts";

/** How states become one vector. */
export interface EmbedOptions {
  /** The mean over the tokens that are not padding (default), or the first token's states. */
  readonly pooling?: "mean" | "first";
  /** Whether to divide by the Euclidean norm ("unit", default) or not ("free"). */
  readonly length?: "unit" | "free";
}

/**
 * Embeddings of texts [b, d], as computed by sentence-transformers' Pooling and Normalize (arXiv 1908.10084).
 * The caller owns the result.
 *
 * @throws {TypeError} when the model has a head.
 * @example
 * ```ts
 * import { embed, freshModel, read, reference, smallConfig } from "@graft/peft";
 * import { taskConfig } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const config = taskConfig(smallConfig("bert"), { kind: "embed" });
 * const model = freshModel(config, { backend: reference(), key: 0 });
 * const vectors = embed(model, { inputIds: [[1, 2, 3], [4, 5, 0]], attentionMask: [[1, 1, 1], [1, 1, 0]] });
 * assert.deepEqual(vectors.shape, [2, 16]);
 * assert.ok(Math.abs(Math.hypot(...(await read(vectors)).subarray(0, 16)) - 1) < 1e-6);
 * ```
 */
export function embed(model: Model, batch: Batch, options: EmbedOptions = {}): Tensor {
  const { pooling = "mean", length = "unit" } = options;
  return scope((): Synchronous<Tensor> => {
    if (model.spec.heads.length > 0) {
      throw new TypeError(
        'Cannot embed with a model that has a head: load it with the task { kind: "embed" }',
      );
    }
    const { logits: states } = forward(model, batch); // [b, t, d]
    const pooled = pooling === "mean" ? meanOf(states, batch) : first(states);
    if (length === "free") return pooled;
    const norms = sqrt(sumOfSquares(pooled, { axis: -1, keepAxes: true })); // [b, 1]
    return divide(pooled, maximum(norms, 1e-12));
  });
}

function meanOf(states: Tensor, { inputIds, attentionMask }: Batch): Tensor {
  const mask = tensor(attentionMask ?? inputIds.map((row) => row.map(() => 1)), { backend: states.backend }); // [b, t]
  const summed = sum(multiply(states, reshape(mask, [...mask.shape, 1])), { axis: 1 }); // [b, d]
  return divide(summed, maximum(sum(mask, { axis: 1, keepAxes: true }), 1e-9));
}

function first(states: Tensor): Tensor {
  return reshape(slice(states, 1, 0, 1), [states.shape[0]!, states.shape[2]!]);
}
