/**
 * MoSLoRA. Wu et al. 2024, "Mixture-of-Subspaces in Low-Rank Adaptation", arXiv 2406.11909, section 3.
 *
 *   y = W x + b + s · B M A dropout(x)        A [r, in]   M [r, r]   B [out, r]   s = α/r
 *
 * LoRA adds r rank-one updates b_i a_iᵀ; the trained mixer M adds all r² products b_i a_jᵀ, each with a weight of its own. LoRA is
 * M = I. As in the authors' code, A and M are uniform in ±1/√in and ±1/√r and B is zero, so the model is initially unchanged; M may
 * start orthogonal instead. On an embedding, which their code leaves out, A is zero and B normal.
 */
import { type DefinedMethod, madeLowRank, type TargetOptions, type Tensor } from "../../core/mod.ts";
import { number, oneOf, option, probability } from "../../core/options/mod.ts";
import { matmul, multiply, normal as drawn, orthogonalRows } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, kaiming, normal, zeros } from "../shared/initial.ts";
import { alphaPattern, rankPattern, rankSchema } from "../shared/target_options.ts";
import { LOW_RANK } from "./lora.ts";

/** Options of MoSLoRA. */
export interface MosloraOptions extends TargetOptions {
  /** r, default 8. */
  readonly rank?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α of the scale α/r, default the rank. */
  readonly alpha?: number | undefined;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** How M starts: uniform in ±1/√r ("kaiming", default), or orthogonal. */
  readonly mixer?: "kaiming" | "orthogonal";
}

/** One layer's parameters: a [r, in], m [r, r], b [out, r]. */
export type MosloraFactors = { readonly a: Tensor; readonly m: Tensor; readonly b: Tensor };

/**
 * MoSLoRA as a method. Parameters under each layer's path: `a` [r, in], `m` [r, r], `b` [out, r]. Embeddings can be targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, dropout is not in [0, 1), or targets match nothing.
 * @example
 * ```ts
 * import { adapt, count, freshModel, moslora, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const model = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * const adapter = adapt(model, moslora({ rank: 4, targets: ["q_proj"] }));
 * assert.equal(count(model, adapter).trainable, 2 * 4 * (16 + 16 + 4)); // two layers
 * ```
 */
export const moslora: DefinedMethod<MosloraOptions> = defineLinear<MosloraOptions, MosloraFactors>({
  name: "moslora",
  summary: "LoRA with a small trained matrix between the factors, which mixes their ranks.",
  facts: { parameters: "r (in + out + r)", merges: "yes" },
  title: "MoSLoRA",
  options: {
    rank: option(rankSchema, "r, the rank of the update", 8),
    rankPattern,
    alpha: option(number, "α of the scale α/r; by default r"),
    alphaPattern,
    dropout: option(probability, "dropout of the branch's input in training", 0),
    mixer: option(oneOf("kaiming", "orthogonal"), "how the mixer starts", "kaiming"),
  },
  follows: ({ rank, alpha = rank }) => ({ alpha }),
  params: ({ kind, inFeatures, outFeatures }, { rank: r, mixer }) => {
    const [a, b] = [[r, inFeatures], [outFeatures, r]] as const;
    return {
      a: kind === "embedding" ? zeros(a) : kaiming(a),
      m: mixer === "orthogonal" ? orthogonal(r) : kaiming([r, r]),
      b: kind === "embedding" ? normal(b) : zeros(b),
    };
  },
  map: ({ a, m, b }, { rank, alpha }, { inFeatures, outFeatures }) =>
    madeLowRank(
      { inFeatures, outFeatures, rank },
      [a, m, b],
      () => ({ a, b: matmul(b, multiply(m, alpha! / rank)) }),
    ),
  cli: LOW_RANK,
  published: { setting: "r 16 and α 32 on q, k, v, up and down" },
});

/** A random orthogonal matrix [r, r]. */
const orthogonal = (r: number): Initial => ({
  shape: [r, r],
  make: (key, backend) => orthogonalRows(drawn(key, [r, r], backend)),
});
