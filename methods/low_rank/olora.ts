/**
 * OLoRA. Büyükakyüz 2024, "OLoRA: Orthonormal Low-Rank Adaptation of Large Language Models", arXiv 2406.01775, algorithm 1.
 *
 *   W = Q R [out, in]     B = Q[:, :r]     A = R[:r]     base: W − s B A     s = α / r
 *
 * Neither factor carries s: only the subtraction does, so the function is initially unchanged for any α. The
 * diagonal of R is made nonnegative, which makes the factors unique; LAPACK, and thus PEFT, leaves the signs
 * unspecified.
 */
import type { MethodDefinition, Model } from "../../core/mod.ts";
import { matmul, qr, slice } from "../../ops/mod.ts";
import { lora, LORA_SHARED, loraRank, LOW_RANK } from "./lora.ts";
import { onOriginal } from "./on_original.ts";
import {
  changedBytes,
  type Prepared,
  prepareDifference,
  type PreparedOptions,
  preparedRun,
} from "./prepared.ts";

/**
 * Prepares OLoRA: an adapter with orthonormal B, and the base with the adapter's initial product subtracted.
 * Options as for LoRA.
 *
 * @throws {RangeError} when a rank exceeds a matrix's size, or targets match nothing.
 * @example
 * ```ts
 * import { olora, reference } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const { model: changed, adapter } = await olora(model, { rank: 2 });
 * assert.notEqual(changed.weights, model.weights);
 * assert.equal(adapter.method.name, "olora");
 * ```
 */
export function olora<M extends Model>(model: M, options: PreparedOptions = {}): Promise<Prepared<M>> {
  return prepareDifference(oloraDefinition, model, options, (w, place) => {
    // The first r columns of Q depend on those of W alone, and R = Qᵀ W: no need to factor all of W.
    const { q } = qr(slice(w, 1, 0, loraRank(place.path, options)));
    return { a: matmul(q, w, { transposeA: true }), b: q };
  });
}

/** What is known of OLoRA: it needs the weights, so that options alone do not make it. */
export const oloraDefinition: MethodDefinition = {
  name: "olora",
  summary: "LoRA that starts from the QR decomposition of each weight.",
  facts: {
    parameters: "r (in + out)",
    merges: "onto the changed base; `onOriginal` gives rank 2r",
  },
  title: "OLoRA",
  options: LORA_SHARED,
  cli: { ...LOW_RANK, rate: 2e-4 },
  prepare: async ({ model, options, seed }) => {
    const prepared = await olora(model, { ...options, key: seed });
    return preparedRun(
      prepared,
      async (trained) => (await onOriginal(model, prepared, trained)).adapter,
    );
  },
  plan: ({ options }) => lora(options),
  planBase: (given) => changedBytes(given, "f32", 2),
  published: {
    setting: "r 8 on q and v; kept as r 16",
    make: () => lora(),
    kept: () => lora({ rank: 16 }),
  },
};
