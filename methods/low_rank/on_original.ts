/**
 * Adapters of a changed base (PiSSA, OLoRA, LoftQ) as plain LoRA on the original base:
 *
 *   W' + s B A  =  W + (W' − W) + s B A          with W' = W − s B₀ A₀:  W + s [B, −B₀] [A; A₀], rank 2 r
 *
 * A quantized base differs from the original by a matrix of full rank, so there the update is truncated.
 */
import type { Adapter, Model } from "../../core/mod.ts";
import { combine } from "./combine.ts";
import type { Prepared } from "./prepared.ts";
import type { Approximation, Limit } from "./to_lora.ts";

/**
 * A trained adapter of a prepared base as LoRA of the original model. Exact, with the rank doubled, unless a limit is given.
 *
 * @param model The original.
 * @param trained The adapter after training; default: the adapter as prepared.
 * @example
 * ```ts
 * import { count, freshModel, onOriginal, pissa, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const prepared = await pissa(model, { rank: 2 }); // trains on prepared.model
 * const { adapter, error } = await onOriginal(model, prepared);
 * assert.equal(count(model, adapter).trainable, 2 * count(prepared.model, prepared.adapter).trainable);
 * assert.equal(error, 0);
 * ```
 */
export function onOriginal<M extends Model>(
  model: M,
  prepared: Prepared<M>,
  trained: Adapter = prepared.adapter,
  limit?: Limit,
): Promise<Approximation> {
  return combine(
    model,
    [trained, prepared.base],
    [1, 1],
    limit === undefined ? { method: "cat" } : { method: "svd", limit },
    trained.name,
  );
}
