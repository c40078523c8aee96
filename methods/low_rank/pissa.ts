/**
 * PiSSA. Meng, Wang and Zhang 2024, "PiSSA: Principal Singular Values and Singular Vectors Adaptation of Large Language
 * Models", arXiv 2404.02948, equations 2 to 4 and algorithm 1.
 *
 *   W = U S Vᵀ [out, in]     A = √(S_r / s) V_rᵀ     B = U_r √(S_r / s)     base: W − s B A      s = α / r
 *
 * The adapter starts as the principal part of the weights, the base keeps the residual. QPiSSA quantizes the
 * residual; with T steps the factors are recomputed to compensate the quantization error: A, B ← SVD_r(W −
 * nf4(W − s B A)), T − 1 times.
 *
 * The authors' code assumes s = 1; dividing S by s keeps the function for any α, as in PEFT.
 */
import {
  type DType,
  type Factors,
  fold,
  key as keyOf,
  type MatrixPlace,
  type MethodDefinition,
  type Model,
  type Tensor,
} from "../../core/mod.ts";
import { any, bounded, count, fields, oneOf, option } from "../../core/options/mod.ts";
import { leading, randomizedSvd, subtract, type Svd, svd } from "../../ops/mod.ts";
import { balanced, code, type Quantized, update } from "./balanced.ts";
import { lora, LORA_SHARED, loraRank, loraScale, LOW_RANK } from "./lora.ts";
import { onOriginal } from "./on_original.ts";
import {
  changedBytes,
  completedOptions,
  type Prepared,
  prepareDifference,
  type PreparedOptions,
  preparedRun,
  prepareSplit,
} from "./prepared.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of PiSSA: those of LoRA, and how to decompose. */
export interface PissaOptions extends PreparedOptions {
  /** Default "exact". Randomized (arXiv 0909.4061): 4 iterations are the authors' choice, and much faster. */
  readonly svd?: "exact" | { readonly iterations: number; readonly oversampling?: number };
  /** QPiSSA: how the residual is stored, and T, default 1. By default it stays in f32. */
  readonly quantize?: { readonly dtype: DType; readonly iterations?: number };
}

/**
 * Prepares PiSSA: an adapter, and the base with the adapter's initial product subtracted. On that base the
 * function is initially unchanged (with QPiSSA, nearly).
 *
 * @throws {RangeError} when a rank exceeds a matrix's size, or targets match nothing.
 * @example
 * ```ts
 * import { count, onOriginal, pissa, reference } from "@graft/peft";
 * import { freshModel } from "@graft/peft/models";
 * import assert from "node:assert/strict";
 * const shape = { vocab_size: 16, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 1, num_attention_heads: 2 };
 * const model = freshModel({ model_type: "llama", ...shape }, { backend: reference(), key: 0 });
 * const prepared = await pissa(model, { rank: 2 });
 * // Train prepared.adapter on prepared.model; then, for everyone else's base:
 * const { adapter } = await onOriginal(model, prepared);
 * assert.equal(count(model, adapter).trainable, 2 * count(prepared.model, prepared.adapter).trainable);
 * ```
 */
export async function pissa<M extends Model>(model: M, options: PissaOptions = {}): Promise<Prepared<M>> {
  const { quantize, ...given } = options;
  const { svd: how = "exact", ...rest } = completedOptions<Omit<PissaOptions, "quantize">>(
    pissaDefinition,
    given,
  );
  const seed = keyOf(options.key ?? 0);
  const decompose = (w: Tensor, place: MatrixPlace): Svd => {
    const rank = loraRank(place.path, rest);
    return how === "exact"
      ? leading(svd(w), rank)
      : randomizedSvd(w, { ...how, rank, key: fold(seed, place.path) });
  };
  const factorsOf = (w: Tensor, place: MatrixPlace): Factors =>
    balanced(decompose(w, place), loraScale(place.path, rest));
  if (quantize === undefined) return await prepareDifference(pissaDefinition, model, rest, factorsOf);
  const { dtype, iterations = 1 } = quantize;
  if (!Number.isInteger(iterations) || iterations < 1) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected quantize.iterations to be a positive integer but found ${iterations}`,
    );
  }
  return await prepareSplit(pissaDefinition, model, rest, (w, place) => {
    const quantized = (factors: Factors): Quantized =>
      code(subtract(w, update(factors, loraScale(place.path, rest))), place, dtype);
    let factors = factorsOf(w, place);
    let { stored, decoded } = quantized(factors);
    for (let t = 1; t < iterations; t++) {
      factors = factorsOf(subtract(w, decoded), place);
      ({ stored, decoded } = quantized(factors));
    }
    return { ...factors, rest: stored };
  });
}

/** What is known of PiSSA: it needs the weights, so that options alone do not make it. */
export const pissaDefinition: MethodDefinition = {
  name: "pissa",
  summary: "LoRA that starts from each weight's largest singular vectors.",
  facts: {
    parameters: "r (in + out)",
    merges: "onto the changed base; `onOriginal` gives rank 2r",
  },
  title: "PiSSA",
  options: {
    ...LORA_SHARED,
    svd: option(
      any(
        oneOf("exact"),
        fields<{ readonly iterations: number; readonly oversampling?: number }>({
          iterations: bounded(count, "terms"),
          "oversampling?": bounded(count, "rank"),
        }),
      ),
      "how to decompose: exactly, or at random with so many iterations, which is much faster",
      "exact",
    ),
  },
  cli: { ...LOW_RANK, rate: 2e-4 },
  prepare: async ({ model, options, seed }) => {
    const prepared = await pissa(model, { ...options, key: seed });
    return preparedRun(
      prepared,
      async (trained) => (await onOriginal(model, prepared, trained)).adapter,
    );
  },
  plan: ({ options: { svd: _, ...own } }) => lora(own),
  planBase: (given) => changedBytes(given, "f32", 2),
  published: {
    setting: "r 8 on q and v; kept as r 16",
    make: () => lora(),
    kept: () => lora({ rank: 16 }),
  },
};
