/**
 * A matrix of few coefficients, each of which lies on a few elements (SHiRA, arXiv 2406.13175; WaveFT, arXiv 2505.12532):
 *
 *   ΔW = s Σ_k c_k Σ_t f_kt E_kt        E_kt: one at element (k, t)'s place, zero elsewhere
 */
import type { Tensor } from "../tensor/mod.ts";
import { gatherRows, matmul, multiply, reshape, scatterAddRows, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "../linear_map.ts";

/** Where the coefficients lie. */
export interface Spread {
  /** i32 [n, t]: the places of each coefficient's elements, row-major. */
  readonly indices: Tensor;
  /** [n, t]: what the coefficient is multiplied by at each; default 1. */
  readonly factors?: Tensor;
}

/**
 * scale times the matrix [out, in] of coefficients c [n]. The places are found anew at each use, from the tensors `stored` if any.
 *
 * @example
 * ```ts
 * import { read, reference, scattered, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const indices = tensor([[1], [2]], { backend, dtype: "i32" });
 * const map = scattered(tensor([5, 7], { backend }), [2, 2], 1, () => ({ indices }), [indices]);
 * assert.deepEqual([...await read(map.weight())], [0, 5, 7, 0]);
 * ```
 */
export function scattered(
  c: Tensor,
  [outFeatures, inFeatures]: readonly [outFeatures: number, inFeatures: number],
  scale: number,
  spread: () => Spread,
  stored: readonly Tensor[] = [],
): LinearMap {
  const weight = (): Tensor => {
    const { indices, factors } = spread();
    const scaled = reshape(scale === 1 ? c : multiply(c, scale), [c.size, 1]);
    const values = factors === undefined ? scaled : multiply(scaled, factors);
    const [flat, n] = [[indices.size], outFeatures * inFeatures];
    return reshape(scatterAddRows(reshape(values, flat), reshape(indices, flat), n, []), [
      outFeatures,
      inFeatures,
    ]);
  };
  return {
    inFeatures,
    outFeatures,
    tensors: [c, ...stored],
    cost: inFeatures * outFeatures,
    apply: (x) => matmul(x, weight(), { transposeB: true }),
    weight,
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}
