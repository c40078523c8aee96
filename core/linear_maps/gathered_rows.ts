/** A matrix in which only some rows are nonzero. */
import type { Tensor } from "../../tensor/mod.ts";
import { gatherRows, matmul, reshape, scatterAddRows, transpose } from "../../ops/mod.ts";
import type { LinearMap } from "./linear_map.ts";

/**
 * Places rows [k, in] at the outputs `indices` i32 [k] of a matrix [out, in]: only k rows are computed and
 * get a gradient.
 *
 * @example
 * ```ts
 * import { gatheredRows, read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const map = gatheredRows(tensor([[5, 6]], { backend }), tensor([2], { backend, dtype: "i32" }), 3);
 * assert.deepEqual([...await read(map.weight())], [0, 0, 0, 0, 5, 6]);
 * ```
 */
export function gatheredRows(rows: Tensor, indices: Tensor, outFeatures: number): LinearMap {
  const inFeatures = rows.shape[1]!;
  const weight = (): Tensor => scatterAddRows(rows, indices, outFeatures, [inFeatures]);
  /** [n, k] → [n, out]. */
  const spread = (y: Tensor): Tensor =>
    transpose(scatterAddRows(transpose(y), indices, outFeatures, [y.shape[0]!]));
  return {
    inFeatures,
    outFeatures,
    tensors: [rows, indices],
    cost: rows.size,
    apply: (x) => {
      const flat = reshape(x, [-1, inFeatures]); // [n, in]
      return reshape(spread(matmul(flat, rows, { transposeB: true })), [
        ...x.shape.slice(0, -1),
        outFeatures,
      ]);
    },
    weight,
    columns: (ids) => gatherRows(transpose(weight()), ids),
  };
}
