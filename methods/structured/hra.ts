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
  type Backend,
  fold,
  freshTargets,
  type Key,
  key as keyOf,
  leaves,
  type LinearChange,
  type Method,
  orthogonalReflections,
  paramsAt,
  reflections,
  sizesOf,
  type TargetOptions,
  type Tensor,
} from "../../core/mod.ts";
import {
  addAll,
  concat,
  divide,
  identity,
  matmul,
  multiply,
  orthogonalRows,
  reshape,
  sqrt,
  subtract,
  sumOfSquares,
  transpose,
} from "../../ops/mod.ts";
import { freshParams, kaiming } from "../shared/initial_factors.ts";
import { checkPositive } from "../shared/option_checks.ts";
import { rotatedPlaces } from "./rotated_places.ts";

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
export function hra(options: HraOptions = {}): Method {
  const r = options.rank ?? 8;
  const { orthogonality = 0 } = options;
  checkPositive("rank", r);
  if (typeof orthogonality === "number" && !(orthogonality >= 0)) {
    throw new RangeError(`Expected orthogonality to be 0 or more, or "exact", but found ${orthogonality}`);
  }
  const method: Method = {
    name: "hra",
    config: { ...options },
    init: ({ model, key }) =>
      freshParams(() =>
        rotatedPlaces("hra", model.spec, options, freshTargets).map((place) => {
          const seed = fold(keyOf(key), place.path);
          const { inFeatures } = sizesOf(place);
          if (r > inFeatures) {
            throw new RangeError(
              `Cannot put hra of rank ${r} on "${place.path}": its input of ${inFeatures} has no more directions`,
            );
          }
          return [
            `${place.path}.u`,
            fresh(inFeatures, r, options, seed, model.backend),
          ] as const;
        })
      ),
    edits: (params, spec) =>
      rotatedPlaces("hra", spec, options).map(({ path }) => ({
        kind: "linear",
        path,
        change: rotation((paramsAt(params, path) as { readonly u: Tensor }).u, orthogonality === "exact"),
      })),
  };
  if (orthogonality === "exact" || orthogonality === 0) return method;
  return {
    ...method,
    penalty: (params) => multiply(addAll(leaves(params).map(([, u]) => distance(u))), orthogonality),
  };
}

function rotation(u: Tensor, exact: boolean): LinearChange {
  if (!exact) return { form: "input", map: reflections(u), inverse: reflections(u, true) };
  const map = orthogonalReflections(() => orthogonalRows(transpose(u)), u);
  return { form: "input", map, inverse: map };
}

/** ‖I − UᵀU‖² for unit columns. */
function distance(u: Tensor): Tensor {
  const unit = divide(u, sqrt(sumOfSquares(u, { axis: 0, keepAxes: true })));
  return sumOfSquares(subtract(identity(u.shape[1]!, u.backend), matmul(unit, unit, { transposeA: true })));
}

function fresh(width: number, r: number, options: HraOptions, key: Key, backend: Backend): Tensor {
  if (r % 2 !== 0 || options.initialization === "none") return kaiming(key, "u", [width, r], backend);
  const half = reshape(kaiming(key, "u", [width, r / 2], backend), [width, r / 2, 1]);
  return reshape(concat([half, half], 2), [width, r]); // u_1 u_1 u_2 u_2 …
}
