/**
 * A chain of Householder reflections (HRA, arXiv 2405.17484): H_1 H_2 … H_r with H_i = I − 2 u_i u_iᵀ /
 * ‖u_i‖². Each takes two dot products per row; `apply` never builds the matrix.
 */
import type { Tensor } from "../../tensor/mod.ts";
import {
  divide,
  gatherRows,
  identity,
  matmul,
  multiply,
  slice,
  subtract,
  sumOfSquares,
  transpose,
} from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/**
 * The map of vectors u [width, r]; with `reversed` the product is H_r … H_1, which is the inverse.
 *
 * @example
 * ```ts
 * import { read, reference, reflections, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = reflections(tensor([[1], [0]], { backend })); // across the line that is normal to (1, 0)
 * assert.deepEqual([...await read(map.apply(tensor([[3, 4]], { backend })))], [-3, 4]);
 * ```
 */
export function reflections(u: Tensor, reversed = false): LinearMap {
  const [width, r] = [u.shape[0]!, u.shape[1]!];
  const order = Array.from({ length: r }, (_, i) => reversed ? i : r - 1 - i); // the last factor is applied first
  const apply = (x: Tensor): Tensor =>
    order.reduce((y, i) => {
      const v = slice(u, 1, i, i + 1); // [width, 1]
      const along = divide(multiply(matmul(y, v), 2), sumOfSquares(v)); // [.., 1]
      return subtract(y, matmul(along, v, { transposeB: true }));
    }, x);
  const rows = (): Tensor => apply(identity(width, u.backend)); // row i is the image of e_i
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: [u],
    cost: 2 * width * r,
    apply,
    weight: () => transpose(rows()),
    columns: (ids) => gatherRows(rows(), ids),
  };
}

/**
 * The map I − 2 Q Qᵀ for orthonormal rows q [r, width]: reflections that commute. It is its own inverse.
 *
 * @example
 * ```ts
 * import { orthogonalReflections, read, reference, tensor } from "@graft/peft";
 * import { transpose } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const u = tensor([[1], [0]], { backend });
 * const map = orthogonalReflections(() => transpose(u), u);
 * assert.deepEqual([...await read(map.apply(tensor([[3, 4]], { backend })))], [-3, 4]);
 * ```
 */
export function orthogonalReflections(q: () => Tensor, u: Tensor): LinearMap {
  const width = u.shape[0]!;
  const apply = (x: Tensor): Tensor => {
    const basis = q();
    return subtract(x, multiply(matmul(matmul(x, basis, { transposeB: true }), basis), 2));
  };
  const rows = (): Tensor => apply(identity(width, u.backend));
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: [u],
    cost: 2 * u.size,
    apply,
    weight: rows, // symmetric
    columns: (ids) => gatherRows(rows(), ids),
  };
}
