/**
 * HRA. Yuan, Liu and Xu 2024, "Bridging The Gap between Low-rank and Orthogonal Adaptation via Householder Reflection
 * Adaptation", arXiv 2405.17484.
 *
 *   y = W H_1 H_2 … H_r x + b        H_i = I − 2 u_i u_iᵀ / ‖u_i‖²        U [in, r]
 *
 * The reflections are applied to x one after the other, so no [in, in] matrix is built. With an even r the
 * vectors start in equal pairs, and since H H = I the model is initially unchanged; with an odd r it is not.
 * `orthogonality` is λ, the paper's weight of a penalty on the distance of the normalized vectors from an
 * orthonormal system; "exact" is the limit λ → ∞: the vectors are orthonormalized by the Gram–Schmidt
 * process.
 */
import {
  type DefinedMethod,
  leaves,
  type LinearChange,
  orthogonalReflections,
  reflections,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import { any, oneOf, option } from "../../core/options/mod.ts";
import {
  addAll,
  concat,
  divide,
  multiply,
  orthogonalRows,
  reshape,
  sqrt,
  sumOfSquares,
  transpose,
} from "../../ops/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { type Initial, kaiming } from "../shared/initial.ts";
import { nonNegative } from "../shared/number_schemas.ts";
import { orthonormalityError } from "../shared/orthonormality.ts";
import { rankSchema } from "../shared/target_options.ts";
import { rangeError } from "../../errors/error.ts";

/** Options of HRA. */
export interface HraOptions extends TargetOptions {
  /** r, default 8. An even r leaves the model initially unchanged. */
  readonly rank?: number;
  /** λ ≥ 0, default 0 (no penalty), or "exact". */
  readonly orthogonality?: number | "exact";
  /** Vectors in equal pairs ("pairs", default) or all random ("none", for tests). */
  readonly initialization?: "pairs" | "none";
}

/**
 * HRA as a method. Parameters: `u` [in, r] under each layer's path. Linear layers only.
 *
 * @throws {RangeError} when the rank or λ is out of range, targets match nothing, or a target is an embedding; at init, when
 * the rank exceeds a layer's input.
 * @example
 * ```ts
 * import { hra } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(hra({ rank: 4, orthogonality: "exact" }).name, "hra");
 * ```
 */
export const hra: DefinedMethod<HraOptions> = defineLinear<HraOptions, { readonly u: Tensor }>({
  name: "hra",
  summary: "Turns a layer's input by a chain of trained reflections.",
  facts: { parameters: "r in", merges: "yes" },
  title: "HRA",
  options: {
    rank: option(rankSchema, "r, the number of reflections; an even one leaves the model unchanged", 8),
    orthogonality: option(
      any(nonNegative, oneOf("exact")),
      "λ, the weight of a penalty on vectors that are not orthonormal, or exact for vectors that are",
      0,
    ),
    initialization: option(oneOf("pairs", "none"), "in equal pairs, or all random for tests", "pairs"),
  },
  embeddings: false,
  params: ({ path, inFeatures }, { rank: r, initialization }) => {
    if (r > inFeatures) {
      throw rangeError(
        "METHOD_DOES_NOT_FIT",
        `Cannot put hra of rank ${r} on "${path}": its input of ${inFeatures} has no more directions`,
      );
    }
    const pairs = r % 2 === 0 && initialization === "pairs";
    return { u: pairs ? inPairs(inFeatures, r) : kaiming([inFeatures, r]) };
  },
  change: ({ u }, { orthogonality }) => rotation(u, orthogonality === "exact"),
  training: ({ orthogonality: λ }) =>
    λ === "exact" || λ === 0
      ? {}
      : { penalty: (params) => multiply(addAll(leaves(params).map(([, u]) => distance(u))), λ) },
  cli: { rate: 1e-3, flags: ["rank", "targets"] },
  published: { setting: "r 8 on q and v" },
});

/** u_1 u_1 u_2 u_2 … */
function inPairs(width: number, r: number): Initial {
  return {
    shape: [width, r],
    make: (key, backend) => {
      const half = reshape(kaiming([width, r / 2]).make(key, backend), [width, r / 2, 1]);
      return reshape(concat([half, half], 2), [width, r]);
    },
  };
}

function rotation(u: Tensor, exact: boolean): LinearChange {
  if (!exact) return { form: "input", map: reflections(u), inverse: reflections(u, true) };
  const map = orthogonalReflections(() => orthogonalRows(transpose(u)), u);
  return { form: "input", map, inverse: map };
}

/** ‖I − UᵀU‖² for unit columns. */
function distance(u: Tensor): Tensor {
  return orthonormalityError(divide(u, sqrt(sumOfSquares(u, { axis: 0, keepAxes: true }))), "columns");
}
