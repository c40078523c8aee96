/**
 * Kronecker products of linear maps. With A [o1, i1], B [o2, i2] and row-major vectors
 *
 *   (A ⊗ B) x = vec(A X Bᵀ)        X = reshape(x, [i1, i2])        the result [o1, o2] flattened
 *
 * so a product takes i1 · cost(B) + o2 · cost(A) multiply-adds, or i2 · cost(A) + o1 · cost(B) if A is
 * applied first, instead of i1 i2 o1 o2. (The survey's sketch reshapes x by the columns of both factors in
 * row form; it must be by their rows.)
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, multiply, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { cheapest, leading, rowCount } from "./cheapest.ts";

/**
 * scale · A ⊗ B. The matrix is built only where many rows of x make that cheaper than the factors.
 *
 * @example
 * ```ts
 * import { dense, kronecker } from "@graft/peft/core";
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = kronecker(dense(tensor([[1, 2]], { backend })), dense(tensor([[3], [4]], { backend })), 1);
 * assert.deepEqual([...await read(map.apply(tensor([5, 6], { backend })))], [51, 68]); // [3, 6; 4, 8] x
 * ```
 */
export function kronecker(a: LinearMap, b: LinearMap, scale: number): LinearMap {
  const [o1, i1, o2, i2] = [a.outFeatures, a.inFeatures, b.outFeatures, b.inFeatures];
  const [inFeatures, outFeatures] = [i1 * i2, o1 * o2];
  const scaled = (t: Tensor): Tensor => scale === 1 ? t : multiply(t, scale);
  const swapped = (map: LinearMap, x: Tensor): Tensor => transpose(map.apply(transpose(x)));
  const [bFirst, aFirst] = [i1 * b.cost + o2 * a.cost, i2 * a.cost + o1 * b.cost];
  const weight = (): Tensor => {
    const outer = multiply(reshape(a.weight(), [o1, 1, i1, 1]), reshape(b.weight(), [1, o2, 1, i2]));
    return scaled(reshape(outer, [outFeatures, inFeatures]));
  };
  return {
    inFeatures,
    outFeatures,
    tensors: [...a.tensors, ...b.tensors],
    cost: Math.min(aFirst, bFirst),
    weight,
    apply: (x) => {
      const matrix = (): Tensor => reshape(x, [...leading(x), i1, i2]);
      const flat = (y: Tensor): Tensor => scaled(reshape(y, [...leading(x), outFeatures]));
      return cheapest(rowCount(x), [
        { once: 0, perRow: bFirst, run: () => flat(swapped(a, b.apply(matrix()))) },
        { once: 0, perRow: aFirst, run: () => flat(b.apply(swapped(a, matrix()))) },
        {
          once: inFeatures * outFeatures,
          perRow: inFeatures * outFeatures,
          run: () => matmul(x, weight(), { transposeB: true }),
        },
      ]);
    },
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}
