/**
 * RoAd. Liao and Monz 2024, "3-in-1: 2D Rotary Adaptation for Efficient Finetuning, Efficient Batching and Composability",
 * arXiv 2409.00119, section 3.
 *
 *   y = R (W x + b)        R = diag(R_1, R_2, …)        R_i = [ α_11 cos θ_11   −α_12 sin θ_12 ]
 *                                                             [ α_21 sin θ_21    α_22 cos θ_22 ]
 *
 * RoAd_1 has one θ and one α per pair of outputs, RoAd_2 one of each per row of R_i, RoAd_4 one of each per
 * entry: out, 2 out and 4 out parameters. θ starts at 0 and α at 1, so the model is initially unchanged. The
 * paper pairs adjacent outputs; PEFT divides the outputs into groups (of 64 by default) and pairs the halves
 * of each: `group`.
 */
import {
  type DefinedMethod,
  type LinearChange,
  type PairEntries,
  pairMap,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { bounded, count, oneOf, option, type OptionSchema } from "../../core/options/mod.ts";
import {
  add,
  broadcastTo,
  concat,
  cos,
  divide,
  multiply,
  negate,
  reshape,
  sin,
  slice,
} from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, normal, ones, zeros } from "../shared/initial.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of RoAd. */
export interface RoadOptions extends TargetOptions {
  /** How many angles and scales an R_i has: 1 (default), 2 or 4. */
  readonly variant?: 1 | 2 | 4;
  /** Outputs in a group, whose halves are paired; even. Default 2, adjacent outputs as in the paper. */
  readonly group?: number;
  /** The identity ("identity", default) or random ("none", for tests). */
  readonly initialization?: "identity" | "none";
}

/**
 * One layer's angles and scales, [out / 2], [out] or [2 out]: grouped, in RoAd_4 those of the cosines before
 * those of the sines.
 */
export type RoadParams = { readonly theta: Tensor; readonly alpha: Tensor };

const even: OptionSchema<number> = {
  what: "a positive even integer",
  accepts: (value) => count.accepts(value) && value as number % 2 === 0,
};

/**
 * RoAd as a method. Parameters: `theta` and `alpha` under each layer's path.
 *
 * @throws {RangeError} when the variant is unknown, the group is odd or does not divide a layer's output, or
 * targets match nothing.
 * @example
 * ```ts
 * import { road } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(road({ variant: 4, group: 64 }).name, "road");
 * ```
 */
export const road: DefinedMethod<RoadOptions> = defineLinear<RoadOptions, RoadParams>({
  name: "road",
  summary: "Turns and scales a layer's outputs, two by two.",
  facts: { parameters: "out, 2 out or 4 out", merges: "yes, the bias too" },
  title: "RoAd",
  options: {
    variant: option(oneOf(1, 2, 4), "how many angles and scales each pair of outputs has", 1),
    group: option(bounded(even, "width"), "how many outputs are a group, whose halves are paired", 2),
    initialization: option(oneOf("identity", "none"), "the identity, or random for tests", "identity"),
  },
  params: ({ path, outFeatures }, { variant, group, initialization }) => {
    if (outFeatures % group !== 0) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put road in groups of ${group} on "${path}": its output of ${outFeatures} is no multiple of it`,
      );
    }
    const n = [outFeatures * variant / 2];
    if (initialization === "identity") return { theta: zeros(n), alpha: ones(n) };
    const alpha: Initial = {
      shape: n,
      make: (key, backend) => add(normal(n, 0.5).make(key, backend), 1),
    };
    return { theta: normal(n, 0.5), alpha };
  },
  change: (params, { variant, group }, { outFeatures }) => rotation(outFeatures, params, variant, group),
  cli: { rate: 3e-3, flags: ["targets"] },
  published: { setting: "RoAd_1 on q and v" },
});

function rotation(
  width: number,
  { theta, alpha }: RoadParams,
  variant: 1 | 2 | 4,
  group: number,
): LinearChange {
  const entries = (): PairEntries => {
    const a = multiply(
      perFeature(alpha, 0, width, variant, group),
      cos(perFeature(theta, 0, width, variant, group)),
    );
    const b = multiply(
      perFeature(alpha, 1, width, variant, group),
      sin(perFeature(theta, 1, width, variant, group)),
    );
    return { a, b };
  };
  const tensors = [theta, alpha];
  return {
    form: "output",
    map: pairMap(width, group, tensors, entries),
    inverse: pairMap(width, group, tensors, () => inverted(entries(), width, group)),
  };
}

/** The values of an entry (0: on the diagonal, 1: off it) in the features' order [width]. */
function perFeature(t: Tensor, entry: 0 | 1, width: number, variant: 1 | 2 | 4, group: number): Tensor {
  const groups = width / group;
  switch (variant) {
    case 1: // one for both halves
      return reshape(broadcastTo(reshape(t, [groups, 1, group / 2]), [groups, 2, group / 2]), [width]);
    case 2:
      return t;
    case 4:
      return reshape(slice(reshape(t, [groups, 2, group]), 1, entry, entry + 1), [width]);
  }
}

/** The inverse of each [a_1, −b_1; b_2, a_2]: [a_2, b_1; −b_2, a_1] by its determinant. */
function inverted({ a, b }: PairEntries, width: number, group: number): PairEntries {
  const halves = (t: Tensor): readonly [Tensor, Tensor] => {
    const both = reshape(t, [width / group, 2, group / 2]);
    return [slice(both, 1, 0, 1), slice(both, 1, 1, 2)];
  };
  const [[a1, a2], [b1, b2]] = [halves(a), halves(b)];
  const determinant = add(multiply(a1, a2), multiply(b1, b2)); // [groups, 1, group / 2]
  const over = (one: Tensor, two: Tensor): Tensor =>
    reshape(concat([divide(one, determinant), divide(two, determinant)], 1), [width]);
  return { a: over(a2, a1), b: negate(over(b1, b2)) };
}
