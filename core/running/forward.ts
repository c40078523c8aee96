/** Running a model on a batch: its logits. */
import { scope, type Synchronous, type Tensor } from "../../tensor/mod.ts";
import type { Batch, Cache, ForwardOptions, Model } from "../trees/model.ts";
import { byRows } from "../combinators/per_row.ts";

/** The result of a pass. */
export interface Output {
  /**
   * [b, t, v]: one row of scores per token; [b, labels] for a text classifier; for a model without a head,
   * its states [b, t, d].
   */
  readonly logits: Tensor;
  /** The cache to continue from; undefined unless requested. */
  readonly cache: Cache | undefined;
}

/**
 * Runs a model on a batch. The caller owns the result: let an enclosing `scope` free it, or `dispose` it.
 *
 * @throws {RangeError} on ragged rows, ids outside the vocabulary, or a text longer than the model's context.
 * @example
 * ```ts
 * import { forward, freshModel, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const inputIds = [[1, 2, 3], [4, 5, 0]];
 * const { logits } = forward(model, { inputIds, attentionMask: [[1, 1, 1], [1, 1, 0]] });
 * assert.deepEqual(logits.shape, [2, 3, 32]); // rows, tokens, vocabulary
 * ```
 */
export function forward(model: Model, batch: Batch, options: ForwardOptions = {}): Output {
  return scope((): Synchronous<Output> => {
    const { result, cache } = byRows(model, batch, options, (model, batch, options) => {
      const { states, cache } = model.architecture.states(model, batch, options);
      return { result: model.architecture.head(model, states, options), cache };
    });
    return { logits: result, cache };
  });
}
