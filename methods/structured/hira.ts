/**
 * HiRA. Huang et al. 2025, "HiRA: Parameter-Efficient Hadamard High-Rank Adaptation for Large Language Models", ICLR 2025.
 *
 *   y = W x + b + (W ⊙ B A) dropout(x)        A [r, in]   B [out, r]
 *
 * The update may have up to r times the rank of W. A is uniform in ±1/√in (PEFT's "gaussian": N(0, 1/r²)), B
 * is zero, so the model is initially unchanged; on an embedding A is zero and B normal. W is the matrix so
 * far, dequantized if necessary.
 */
import type { DefinedMethod, TargetOptions, Tensor } from "../../core/mod.ts";
import { oneOf, option, probability } from "../../core/options/mod.ts";
import { add, matmul, multiply } from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { kaiming, normal, zeros } from "../shared/initial.ts";
import { rankPattern, rankSchema } from "../shared/target_options.ts";

/** Options of HiRA. */
export interface HiraOptions extends TargetOptions {
  /** r, default 32. */
  readonly rank?: number;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** Dropout probability of the branch's input in training, default 0. */
  readonly dropout?: number;
  /** Initialization of A; "none" makes both factors normal, for tests. Default "default". */
  readonly initialization?: "default" | "gaussian" | "none";
}

/** One layer's factors: a [r, in], b [out, r]. */
export type HiraFactors = { readonly a: Tensor; readonly b: Tensor };

/**
 * HiRA as a method. Parameters: `a` and `b` under each layer's path. Embeddings can be targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { hira } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(hira({ rank: 16, dropout: 0.1 }).name, "hira");
 * ```
 */
export const hira: DefinedMethod<HiraOptions> = defineLinear<HiraOptions, HiraFactors>({
  name: "hira",
  summary: "Multiplies each weight, entry by entry, by a low-rank update.",
  facts: { parameters: "r (in + out)", merges: "yes", source: "Huang et al., ICLR 2025" },
  options: {
    rank: option(rankSchema, "r, the rank of the factors", 32),
    rankPattern,
    dropout: option(probability, "dropout of the branch's input in training", 0),
    initialization: option(oneOf("default", "gaussian", "none"), "how A starts", "default"),
  },
  params: ({ kind, inFeatures, outFeatures }, { rank: r, initialization }) => {
    const [a, b] = [[r, inFeatures], [outFeatures, r]] as const;
    if (initialization === "none") return { a: normal(a), b: normal(b) };
    if (kind === "embedding") return { a: zeros(a), b: normal(b) };
    return { a: initialization === "gaussian" ? normal(a, 1 / r) : kaiming(a), b: zeros(b) };
  },
  delta: ({ a, b }, { x, weight }) => matmul(x, multiply(weight(), matmul(b, a)), { transposeB: true }),
  weight: ({ a, b }, { weight }) => add(weight, multiply(weight, matmul(b, a))),
  cli: { rate: 1e-3, flags: ["rank", "dropout", "targets"] },
  published: { setting: "r 32 on q and v" },
  peft: {
    type: "HIRA",
    tensors: {
      a: { layer: "hira_A", embedding: "hira_embedding_A" },
      b: { layer: "hira_B", embedding: "hira_embedding_B" },
    },
    fields: {
      rank: "r",
      dropout: "hira_dropout",
      initialization: {
        field: "init_weights",
        values: [["default", true], ["gaussian", "gaussian"], ["none", false]],
      },
    },
    others: { fan_in_fan_out: false, rank_pattern: {} },
  },
});
