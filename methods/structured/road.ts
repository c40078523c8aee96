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
  chooseTargets,
  type Edit,
  fold,
  freshTargets,
  key as keyOf,
  type LinearChange,
  type MatrixPlace,
  type Method,
  type PairEntries,
  pairMap,
  paramsAt,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import {
  add,
  broadcastTo,
  concat,
  cos,
  divide,
  multiply,
  negate,
  normal,
  ones,
  reshape,
  sin,
  slice,
  zeros,
} from "../../ops/mod.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

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
export function road(options: RoadOptions = {}): Method {
  const { variant = 1, group = 2 } = options;
  if (![1, 2, 4].includes(variant)) {
    throw new RangeError(`Expected variant to be 1, 2 or 4 but found ${variant}`);
  }
  checkPositive("group", group);
  if (group % 2 !== 0) throw new RangeError(`Expected group to be even but found ${group}`);
  return {
    name: "road",
    config: { ...options },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        freshTargets(spec, options).flatMap((place) => {
          const n = [roadSize(place, options)];
          const drawn = (name: string): Tensor =>
            normal(fold(fold(keyOf(key), place.path), name), n, backend, 0.5);
          const random = options.initialization === "none";
          return [
            [`${place.path}.theta`, random ? drawn("theta") : zeros(n, backend)] as const,
            [`${place.path}.alpha`, random ? add(drawn("alpha"), 1) : ones(n, backend)] as const,
          ];
        })
      ),
    edits: (params, spec) =>
      chooseTargets(spec, options).map((place): Edit => ({
        kind: "linear",
        path: place.path,
        change: rotation(place, paramsAt(params, place.path) as RoadParams, variant, group),
      })),
  };
}

/**
 * The number of angles of a layer, equal to the number of scales.
 *
 * @throws {RangeError} when the group does not divide its output.
 * @example
 * ```ts
 * import { freshModel, reference, roadSize, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
 * assert.equal(roadSize(spec.linears[0]!, { variant: 4 }), 32); // two for each of 16 outputs
 * ```
 */
export function roadSize(place: MatrixPlace, { variant = 1, group = 2 }: RoadOptions): number {
  const { outFeatures } = sizesOf(place);
  if (outFeatures % group !== 0) {
    throw new RangeError(
      `Cannot put road in groups of ${group} on "${place.path}": its output of ${outFeatures} is no multiple of it`,
    );
  }
  return outFeatures * variant / 2;
}

function rotation(
  place: MatrixPlace,
  { theta, alpha }: RoadParams,
  variant: 1 | 2 | 4,
  group: number,
): LinearChange {
  const width = sizesOf(place).outFeatures;
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
