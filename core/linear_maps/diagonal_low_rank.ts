/**
 * A low-rank product with diagonal matrices between and after it (VeRA, arXiv 2310.11454): diag(b) B diag(d) A, where A and
 * B may be larger than needed and are cut to the first columns and rows.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, multiply, reshape, slice, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/** The shared projections; regenerated at every use when they are not stored. */
export type Projections = {
  /** [r, ≥ in] */
  readonly a: Tensor;
  /** [≥ out, r] */
  readonly b: Tensor;
};

/**
 * diag(lambdaB) B diag(lambdaD) A with lambdaD [r], lambdaB [out]. `stored` are the projections' tensors, if they exist.
 *
 * @example
 * ```ts
 * import { diagonalLowRank, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const [a, b] = [tensor([[1, 2, 99]], { backend }), tensor([[3], [4], [99]], { backend })];
 * const [d, up] = [tensor([10], { backend }), tensor([1, 0.5], { backend })];
 * const map = diagonalLowRank(2, d, up, () => ({ a, b }), [a, b]); // cut to 2 inputs and 2 outputs
 * assert.deepEqual([...await read(map.weight())], [30, 60, 20, 40]);
 * ```
 */
export function diagonalLowRank(
  inFeatures: number,
  lambdaD: Tensor,
  lambdaB: Tensor,
  projections: () => Projections,
  stored: readonly Tensor[],
): LinearMap {
  const [r, outFeatures] = [lambdaD.size, lambdaB.size];
  const a = (): Tensor => slice(projections().a, 1, 0, inFeatures);
  const both = (): Projections => {
    const { a, b } = projections();
    return { a: slice(a, 1, 0, inFeatures), b: slice(b, 0, 0, outFeatures) };
  };
  const up = (h: Tensor, b: Tensor): Tensor =>
    multiply(matmul(multiply(h, lambdaD), b, { transposeB: true }), lambdaB); // [.., r] → [.., out]
  return {
    inFeatures,
    outFeatures,
    tensors: [lambdaD, lambdaB, ...stored],
    cost: r * (inFeatures + outFeatures) + r + outFeatures,
    apply: (x) => {
      const { a, b } = both();
      return up(matmul(x, a, { transposeB: true }), b);
    },
    weight: () => {
      const { a, b } = both();
      return multiply(matmul(multiply(b, lambdaD), a), reshape(lambdaB, [outFeatures, 1]));
    },
    columns: (ids) => up(gatherRows(transpose(a()), ids), slice(projections().b, 0, 0, outFeatures)),
  };
}
