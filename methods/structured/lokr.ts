/**
 * LoKr. Yeh et al. 2023, "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model Evaluation",
 * arXiv 2309.14859, section 3.
 *
 *   y = W x + b + s (W1 ⊗ W2) x        W1 [o1, i1]   W2 [o2, i2] = A2 B2 of rank r        s = α/r
 *
 * out = o1 o2 and in = i1 i2 by `factorPair`, usually with the smaller one first. A factor is split into a
 * low-rank pair where r is less than half of its larger side. Libraries differ: PEFT starts with W1 zero and
 * always scales by α/r; LyCORIS starts with W2 (or B2) zero, leaves the scale at 1 where neither factor is
 * split, and always puts the smaller size first.
 */
import {
  type DefinedMethod,
  dense,
  kronecker,
  type LinearMap,
  lowRank,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { any, bounded, count, number, oneOf, option, record } from "../../core/options/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, kaiming, zeros } from "../shared/initial.ts";
import { alphaPattern } from "../shared/target_options.ts";
import { addUpdate, type UpdateDropout, updateDropout } from "./update_dropout.ts";

/** Options of LoKr. */
export interface LokrOptions extends TargetOptions, UpdateDropout {
  /** r, default 8. */
  readonly rank?: number;
  /** α, default the rank. */
  readonly alpha?: number | undefined;
  /** Rank by pattern matching the end of the path; the first match applies. */
  readonly rankPattern?: Readonly<Record<string, number>> | undefined;
  /** α by pattern. */
  readonly alphaPattern?: Readonly<Record<string, number>> | undefined;
  /** Size of the first factor where it divides, else the largest divisor below it; −1 (default) for near-square factors. */
  readonly factor?: number;
  /**
   * Order of the sizes when `factor` divides: as given ("given", default, as in PEFT) or the smaller one
   * first ("smallerFirst", as in LyCORIS).
   */
  readonly order?: "given" | "smallerFirst";
  /** Which factors may be low-rank pairs. Default "second". */
  readonly split?: "none" | "second" | "both";
  /** s where no factor is split: α/r ("standard", as PEFT, default) or 1 ("unitWhenFull", as LyCORIS). */
  readonly scaling?: "standard" | "unitWhenFull";
  /**
   * Whose initialization, which determines the zero factor; "none" makes all factors random, for tests.
   * Default "peft".
   */
  readonly initialization?: "peft" | "lycoris" | "none";
}

/** A factor: whole, or as a pair whose product it is. */
export type LokrFactor = "w1" | "w2";

/** One layer's factors: w1 [o1, i1] or w1a [o1, r], w1b [r, i1]; w2 likewise. */
export type LokrFactors = { readonly [name in LokrFactor | `${LokrFactor}${"a" | "b"}`]?: Tensor };

/**
 * LoKr as a method. Parameters are stored under their layer's path: `….q_proj.w1`, `w2a`, `w2b`. Embeddings
 * can be targets.
 *
 * @throws {RangeError} when a rank is not a positive integer, a dropout is not in [0, 1), or targets match
 * nothing.
 * @example
 * ```ts
 * import { lokr } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(lokr({ rank: 4, factor: 8, split: "both" }).name, "lokr");
 * ```
 */
export const lokr: DefinedMethod<LokrOptions> = defineLinear<LokrOptions, LokrFactors>({
  name: "lokr",
  summary: "Adds a Kronecker product whose large factor may have low rank.",
  facts: { parameters: "o1 i1 + r (o2 + i2), or o1 i1 + o2 i2", merges: "yes" },
  title: "LoKr",
  options: {
    // A rank above a layer's sizes, however large, asks for full factors.
    rank: option(count, "r, the rank of a factor that is split", 8),
    alpha: option(number, "α, by which the update is multiplied, over r; by default r"),
    rankPattern: option(record(count), "the rank by pattern of the layer's path; the first match applies"),
    alphaPattern,
    factor: option(
      any(oneOf(-1), bounded(count, "width")),
      "the size of the first factor, or -1 for factors that are nearly square",
      -1,
    ),
    order: option(oneOf("given", "smallerFirst"), "which of the two sizes comes first", "given"),
    split: option(oneOf("none", "second", "both"), "which factors may be pairs of low rank", "second"),
    scaling: option(
      oneOf("standard", "unitWhenFull"),
      "whether the scale is 1 where no factor is split",
      "standard",
    ),
    ...updateDropout("none"),
    initialization: option(
      oneOf("peft", "lycoris", "none"),
      "whose initialization, which says what is zero",
      "peft",
    ),
  },
  follows: ({ rank, alpha = rank }) => ({ alpha }),
  params: ({ inFeatures, outFeatures }, { rank: r, factor, order, split, initialization }) => {
    const [o1, o2] = factorPair(outFeatures, factor, order);
    const [i1, i2] = factorPair(inFeatures, factor, order);
    const zero: readonly string[] = { peft: ["w1", "w1a"], lycoris: ["w2", "w2b"], none: [] }[initialization];
    const start = (name: string, shape: readonly [number, number]): Readonly<Record<string, Initial>> => ({
      [name]: zero.includes(name) ? zeros(shape) : kaiming(shape),
    });
    const factors = (name: LokrFactor, o: number, i: number, may: boolean) =>
      may && r < Math.max(o, i) / 2
        ? { ...start(`${name}a`, [o, r]), ...start(`${name}b`, [r, i]) }
        : start(name, [o, i]);
    return { ...factors("w1", o1, i1, split === "both"), ...factors("w2", o2, i2, split !== "none") };
  },
  change: (factors, options) => {
    const map = (name: LokrFactor): LinearMap => {
      const whole = factors[name];
      return whole === undefined ? lowRank(factors[`${name}b`]!, factors[`${name}a`]!, 1) : dense(whole);
    };
    const full = factors.w1 !== undefined && factors.w2 !== undefined;
    const scale = full && options.scaling === "unitWhenFull" ? 1 : options.alpha! / options.rank;
    return addUpdate(kronecker(map("w1"), map("w2"), scale), options);
  },
  cli: {
    rate: 1e-3,
    flags: ["rank", "alpha", "targets"],
    options: ({ rank = 8, alpha = 2 * rank }) => ({ rank, alpha }),
  },
  published: { setting: "r 8 on q and v", options: () => ({ rank: 8 }) },
});

/**
 * Two factors of n: (factor, n / factor) where factor divides n, else the divisors nearest to √n whose
 * smaller is at most the factor.
 *
 * @example
 * ```ts
 * import { factorPair } from "@graft/peft/methods";
 * import assert from "node:assert/strict";
 * assert.deepEqual(
 *   [factorPair(128, -1), factorPair(127, -1), factorPair(128, 4)],
 *   [[8, 16], [1, 127], [4, 32]],
 * );
 * ```
 */
export function factorPair(
  n: number,
  factor: number,
  order: "given" | "smallerFirst" = "given",
): readonly [number, number] {
  if (factor > 0 && n % factor === 0) {
    const other = n / factor;
    return order === "given" || factor <= other ? [factor, other] : [other, factor];
  }
  let m = Math.floor(Math.sqrt(n));
  while (n % m !== 0 || (factor > 0 && m > factor)) m--;
  return [m, n / m];
}
