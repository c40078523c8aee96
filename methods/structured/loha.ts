/**
 * LoHa. Hyeon-Woo et al. 2021, "FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning",
 * arXiv 2108.06098; as an adapter in LyCORIS, Yeh et al. 2023, arXiv 2309.14859.
 *
 *   y = W x + b + s ((A1 B1) ⊙ (A2 B2)) x        A [out, r]   B [r, in]   s = α/r        the update's rank is up to r²
 *
 * One factor is zero initially, so the model is unchanged; which one depends on the library. PEFT: uniform in
 * ±1/√columns, B2 zero. LyCORIS: B1 and B2 of N(0, 1), A1 of N(0, 0.01), A2 zero.
 */
import { type DefinedMethod, hadamardLowRank, type TargetOptions, type Tensor } from "../../core/mod.ts";
import { number, oneOf, option } from "../../core/options/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { kaiming, normal, zeros } from "../shared/initial.ts";
import { alphaPattern, rankPattern, rankSchema } from "../shared/target_options.ts";
import { addUpdate, type UpdateDropout, updateDropout } from "./update_dropout.ts";

/** Options of LoHa. By default, rows that dropout keeps are divided by the kept share. */
export interface LohaOptions extends TargetOptions, UpdateDropout {
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number | undefined;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
  /**
   * Whose initialization, which determines the zero factor; "none" makes all factors random, for tests.
   * Default "peft".
   */
  readonly initialization?: "peft" | "lycoris" | "none";
}

/** One layer's factors: w1a, w2a [out, r]; w1b, w2b [r, in]. */
export type LohaFactors = {
  readonly w1a: Tensor;
  readonly w1b: Tensor;
  readonly w2a: Tensor;
  readonly w2b: Tensor;
};

/**
 * LoHa as a method. Parameters are stored under their layer's path: `….q_proj.w1a`. Embeddings can be
 * targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, a dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { loha } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(loha({ rank: 4, alpha: 1, initialization: "lycoris" }).name, "loha");
 * ```
 */
export const loha: DefinedMethod<LohaOptions> = defineLinear<LohaOptions, LohaFactors>({
  name: "loha",
  summary: "Adds the entrywise product of two low-rank matrices to each weight.",
  facts: { parameters: "2r (in + out)", merges: "yes" },
  title: "LoHa",
  options: {
    rank: option(rankSchema, "r, the rank of each of the two products", 8),
    alpha: option(number, "α, by which the update is multiplied, over r; by default r"),
    rankPattern,
    alphaPattern,
    ...updateDropout("kept"),
    initialization: option(
      oneOf("peft", "lycoris", "none"),
      "whose initialization, which says what is zero",
      "peft",
    ),
  },
  follows: ({ rank, alpha = rank }) => ({ alpha }),
  params: ({ inFeatures, outFeatures }, { rank: r, initialization }) => {
    const [left, right] = [[outFeatures, r], [r, inFeatures]] as const;
    if (initialization === "lycoris") {
      return { w1a: normal(left, 0.1), w1b: normal(right), w2a: zeros(left), w2b: normal(right) };
    }
    const last = initialization === "peft" ? zeros : kaiming;
    return { w1a: kaiming(left), w1b: kaiming(right), w2a: kaiming(left), w2b: last(right) };
  },
  change: (factors, options) => addUpdate(hadamardLowRank(factors, options.alpha! / options.rank), options),
  cli: {
    rate: 1e-3,
    flags: ["rank", "alpha", "targets"],
    options: ({ rank = 8, alpha = 2 * rank }) => ({ rank, alpha }),
  },
  published: { setting: "r 8 on q and v", options: () => ({ rank: 8 }) },
});
