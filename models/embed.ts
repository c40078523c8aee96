/** `embed`: one vector per text, from a model without a head, or from a decoder's states before its head. */
import {
  type Batch,
  forward,
  type ForwardOptions,
  type Model,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
} from "../core/mod.ts";
import {
  divide,
  max,
  maximum,
  multiply,
  reshape,
  select,
  slice,
  sqrt,
  sum,
  sumOfSquares,
} from "../ops/mod.ts";
import { lastStates } from "./decoder_head.ts";
import { typeError } from "../errors/error.ts";

/** How states become one vector, and how the pass runs. */
export interface EmbedOptions extends Omit<ForwardOptions, "cache" | "keepCache"> {
  /** The mean over the tokens that are not padding (default), the largest of them, or the first or last token's states. */
  readonly pooling?: "mean" | "max" | "first" | "last";
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
  const { pooling = "mean", length = "unit", ...how } = options;
  return scope((): Synchronous<Tensor> => {
    const pooled = pooledOf(statesOf(model, batch, how), batch, pooling);
    if (length === "free") return pooled;
    const norms = sqrt(sumOfSquares(pooled, { axis: -1, keepAxes: true })); // [b, 1]
    return divide(pooled, maximum(norms, 1e-12));
  });
}

/** The states of every token [b, t, d]. */
function statesOf(model: Model, batch: Batch, options: ForwardOptions): Tensor {
  if (model.spec.heads.length === 0) return forward(model, batch, options).logits;
  if (model.architecture.labels(model) === "next") {
    return model.architecture.states(model, batch, options).states;
  }
  throw typeError(
    "METHOD_DOES_NOT_FIT",
    'Cannot embed with a model that has a head: load it with the task { kind: "embed" }',
  );
}

function pooledOf(states: Tensor, batch: Batch, pooling: NonNullable<EmbedOptions["pooling"]>): Tensor {
  switch (pooling) {
    case "mean":
      return meanOf(states, batch);
    case "max":
      return max(select(maskOf(states, batch), states, tensor(-1e9, { backend: states.backend })), {
        axis: 1,
      });
    case "first":
      return first(states);
    case "last":
      return lastStates({ states, cache: undefined }, batch).states;
    default:
      return pooling satisfies never;
  }
}

/** 1 on tokens, 0 on padding, [b, t, 1]. */
function maskOf(states: Tensor, { inputIds, attentionMask }: Batch): Tensor {
  const mask = tensor(attentionMask ?? inputIds.map((row) => row.map(() => 1)), { backend: states.backend }); // [b, t]
  return reshape(mask, [...mask.shape, 1]);
}

function meanOf(states: Tensor, batch: Batch): Tensor {
  const mask = maskOf(states, batch);
  const summed = sum(multiply(states, mask), { axis: 1 }); // [b, d]
  return divide(summed, maximum(sum(mask, { axis: 1 }), 1e-9));
}

function first(states: Tensor): Tensor {
  return reshape(slice(states, 1, 0, 1), [states.shape[0]!, states.shape[2]!]);
}
