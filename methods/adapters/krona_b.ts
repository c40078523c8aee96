/**
 * KronA_B and KronA_Bres. Edalati et al. 2022, "KronA: Parameter Efficient Tuning with Kronecker Adapter", arXiv 2212.10650.
 *
 *   KronA_B      h ← h + s ((A ⊗ B) x + b)                   h = FFN(x)   A [o1, i1]   B [o2, i2]   o1 o2 = i1 i2 = d
 *   KronA_Bres   h ← h + s ((A ⊗ B) x + b) + s_res x         s_res a trained number
 *
 * A module parallel to the feed-forward part, without a non-linearity. No official code is public;
 * unspecified details are options: which factor is zero initially, s, whether there is a bias, and the
 * initial s_res. It is 0 here, so that the model is initially unchanged; a third party's code uses 1.
 */
import {
  dense,
  fn,
  fold,
  type HiddenCall,
  type HiddenEdit,
  key as keyOf,
  kronecker,
  type Method,
  paramsAt,
  type SublayerPlace,
  type Tensor,
  under,
} from "../../core/mod.ts";
import { add, full, multiply, normal, zeros } from "../../ops/mod.ts";
import { feedForwards } from "../shared/bottleneck.ts";
import { type KronaOptions, kronaShapes } from "../structured/krona.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";

/** Options of KronA_B: those of KronA, except its place. */
export interface KronaBOptions
  extends Pick<KronaOptions, "scale" | "firstFactor" | "zero" | "initialization"> {
  /** Whether there is a bias b [d], zero initially. Default "one". */
  readonly bias?: "one" | "none";
}

/** Options of KronA_Bres. */
export interface KronaBresOptions extends KronaBOptions {
  /** Initial s_res, default 0. */
  readonly residual?: number;
}

type Beside = {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
};

/**
 * KronA_B as a method. Parameters under the feed-forward part's path: `a` [o1, i1], `b` [o2, i2] and `bias` [d].
 *
 * @throws {RangeError} when the scale is not finite, `firstFactor` does not divide [d, d], or the model has no feed-forward
 * part.
 * @example
 * ```ts
 * import { kronaB } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(kronaB({ firstFactor: [32, 24] }).name, "kronaB");
 * ```
 */
export function kronaB(options: KronaBOptions = {}): Method {
  return beside("kronaB", options, undefined);
}

/**
 * KronA_Bres as a method: KronA_B's parameters and `residual` [1] for each layer.
 *
 * @throws {RangeError} as `kronaB`, or when `residual` is not finite.
 * @example
 * ```ts
 * import { kronaBres } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(kronaBres({ residual: 1 }).name, "kronaBres");
 * ```
 */
export function kronaBres({ residual = 0, ...options }: KronaBresOptions = {}): Method {
  return beside("kronaBres", options, residual);
}

function beside(name: string, options: KronaBOptions, residual: number | undefined): Method {
  const { scale = 1, zero = "b", initialization = "kaiming", bias = "one", firstFactor } = options;
  for (const [what, value] of Object.entries({ scale, residual: residual ?? 0 })) {
    if (!Number.isFinite(value)) {
      throw new RangeError(`Expected ${what} to be a finite number but found ${value}`);
    }
  }
  for (const n of firstFactor ?? []) checkPositive("firstFactor", n);
  const run = ({ a, b, bias, residual }: Beside, { x }: HiddenCall): Tensor => {
    const mapped = kronecker(dense(a), dense(b), 1).apply(x); // [b, t, d]
    const branch = multiply(bias === undefined ? mapped : add(mapped, bias), scale);
    return residual === undefined ? branch : add(branch, multiply(x, residual));
  };
  return {
    name,
    config: {
      scale,
      zero,
      initialization,
      bias,
      ...firstFactor && { firstFactor },
      ...residual !== undefined && { residual },
    },
    init: ({ model: { spec, backend }, key }) =>
      freshParams(() =>
        feedForwards(spec, name).flatMap((place) => {
          const { path, width } = place;
          const seed = fold(keyOf(key), path);
          const factor = (which: "a" | "b", shape: readonly [number, number]): Tensor =>
            which === zero
              ? zeros(shape, backend)
              : initialization === "normal"
              ? normal(fold(seed, which), shape, backend, 1 / Math.sqrt(shape[1]))
              : kaiming(seed, which, shape, backend);
          const shapes = kronaShapes(square(place), { ...firstFactor && { firstFactor } });
          return under(path, {
            a: factor("a", shapes.a),
            b: factor("b", shapes.b),
            ...bias === "one" && { bias: zeros([width], backend) },
            ...residual !== undefined && { residual: full([1], residual, backend) },
          });
        })
      ),
    edits: (params, spec) =>
      feedForwards(spec, name).map(({ path }): HiddenEdit => ({
        kind: "hidden",
        path,
        reads: "input",
        delta: fn(paramsAt(params, path) as Beside, run),
      })),
  };
}

/** The module as a linear layer d → d. */
const square = ({ path, stack, width }: SublayerPlace) => ({
  kind: "linear" as const,
  path,
  stack,
  role: "other" as const,
  inFeatures: width,
  outFeatures: width,
  transposed: false,
  bias: false,
});
