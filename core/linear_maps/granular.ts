/**
 * A grid of k × k blocks, each with its own low-rank product (GraLoRA, arXiv 2505.20355). Block (j, n) of
 * [out, in] is
 *
 *   ΔW_jn = s B_jn A_nj        A_nj [r/k, in/k]   B_jn [out/k, r/k]        the whole has a rank of up to k r
 *
 * a [k, in/k, r] holds A_n1 … A_nk transposed side by side, b [k, r, out/k] holds B_j1 … B_jk transposed and
 * stacked. A row of x goes through k narrow products, the k² results are permuted, and k narrow products give
 * y: as many multiply-adds as a product of rank r.
 */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, identity, matmul, multiply, permute, reshape, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";
import { leading, rowCount } from "./cheapest.ts";

/**
 * The map of a [k, in/k, r] and b [k, r, out/k], times `scale`; k divides r.
 *
 * @example
 * ```ts
 * import { granular, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const a = tensor([[[1, 10]], [[2, 20]]], { backend }); // x_1 to both outputs by 1 and 10, x_2 by 2 and 20
 * const b = tensor([[[1], [1]], [[1], [1]]], { backend });
 * assert.deepEqual([...await read(granular(a, b, 1).weight())], [1, 2, 10, 20]);
 * ```
 */
export function granular(a: Tensor, b: Tensor, scale: number): LinearMap {
  const [k, piece, r] = a.shape as readonly [number, number, number];
  const [inFeatures, outFeatures] = [k * piece, k * b.shape[2]!];
  /** [rows, in] → [j, rows, r]. */
  const down = (x: Tensor): Tensor => {
    const rows = rowCount(x);
    const narrow = matmul(permute(reshape(x, [rows, k, piece]), [1, 0, 2]), a); // [n, rows, r]
    return reshape(permute(reshape(narrow, [k, rows, k, r / k]), [2, 1, 0, 3]), [k, rows, r]);
  };
  /** [j, rows, r] → [rows, out]. */
  const up = (h: Tensor): Tensor =>
    reshape(permute(matmul(h, scale === 1 ? b : multiply(b, scale)), [1, 0, 2]), [h.shape[1]!, outFeatures]);
  const apply = (x: Tensor): Tensor =>
    reshape(up(down(reshape(x, [rowCount(x), inFeatures]))), [...leading(x), outFeatures]);
  const rows = (): Tensor => apply(identity(inFeatures, a.backend)); // row i is the image of e_i
  const inner = k * r;
  return {
    inFeatures,
    outFeatures,
    tensors: [a, b],
    cost: r * (inFeatures + outFeatures),
    apply,
    weight: () => transpose(rows()),
    columns: (ids) => gatherRows(rows(), ids),
    factors: () => ({
      a: reshape(permute(down(identity(inFeatures, a.backend)), [0, 2, 1]), [inner, inFeatures]),
      b: transpose(up(permute(reshape(identity(inner, a.backend), [inner, k, r]), [1, 0, 2]))),
    }),
  };
}
