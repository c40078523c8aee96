/** Orthonormal rows from any rows. */
import type { Tensor } from "../tensor/mod.ts";
import { divide, subtract } from "./binary.ts";
import { sqrt } from "./unary.ts";
import { matmul } from "./matmul.ts";
import { concat, slice } from "./movement.ts";
import { sumOfSquares } from "./reduce.ts";
import { rangeError } from "../errors/error.ts";

/**
 * The Gram–Schmidt process, each projection applied twice for accuracy: x [r, n], r ≤ n, rows independent.
 *
 * @example
 * ```ts
 * import { read, reference, tensor } from "@graft/peft";
 * import { orthogonalRows } from "@graft/peft/ops";
 * import assert from "node:assert/strict";
 * const x = tensor([[3, 0], [1, 2]], { backend: reference() });
 * assert.deepEqual([...await read(orthogonalRows(x))], [1, 0, 0, 1]);
 * ```
 */
export function orthogonalRows(x: Tensor): Tensor {
  const [r, n] = [x.shape[0]!, x.shape[1]!];
  if (r > n) throw rangeError("INVALID_TENSOR", `Cannot make ${r} orthogonal rows of length ${n}`);
  const unit = (row: Tensor): Tensor => divide(row, sqrt(sumOfSquares(row)));
  let basis = unit(slice(x, 0, 0, 1));
  for (let i = 1; i < r; i++) {
    let row = slice(x, 0, i, i + 1);
    for (let pass = 0; pass < 2; pass++) {
      row = subtract(row, matmul(matmul(row, basis, { transposeB: true }), basis));
    }
    basis = concat([basis, unit(row)], 0);
  }
  return basis;
}
