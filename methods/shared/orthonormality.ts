/** How far the rows or columns of a matrix are from orthonormal, for penalties. */
import type { Tensor } from "../../core/mod.ts";
import { identity, matmul, subtract, sumOfSquares } from "../../ops/mod.ts";

/** ‖T Tᵀ − I‖² for rows, ‖Tᵀ T − I‖² for columns, in the Frobenius norm. */
export function orthonormalityError(t: Tensor, of: "rows" | "columns"): Tensor {
  const gram = matmul(t, t, of === "rows" ? { transposeB: true } : { transposeA: true });
  return sumOfSquares(subtract(gram, identity(gram.shape[0]!, t.backend)));
}
