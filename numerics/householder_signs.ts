/**
 * The signs of the columns of Q in LAPACK's QR, and thus PyTorch's: each reflection gives R a diagonal entry
 * opposite in sign to the entry it replaces. The signs follow from an elimination without pivoting (Ballard
 * et al. 2014, "Reconstructing Householder Vectors from Tall-Skinny QR"): and thus PyTorch's: each reflection
 * gives R a diagonal entry opposite in sign to the entry it replaces. The signs follow from an elimination
 * without pivoting
 *
 *   Q − diag(s) = L U        s_k = −sign(the k-th pivot before s_k is subtracted)
 *
 * The last column of a square matrix is not reflected: there the sign is the pivot's own.
 */
import { detach, type Tensor } from "../tensor/mod.ts";
import {
  concat,
  divide,
  less,
  matmul,
  multiply,
  negate,
  scalar,
  select,
  slice,
  subtract,
  transpose,
} from "../ops/mod.ts";

/**
 * Changes the signs of orthonormal rows [r, n], the columns of a Q, to LAPACK's. The signs are constants in
 * the derivative.
 */
export function withHouseholderSigns(rows: Tensor): Tensor {
  const [r, n] = [rows.shape[0]!, rows.shape[1]!];
  let rest = transpose(detach(slice(rows, 1, 0, r))); // [r, r], the first rows of Q
  const one = scalar(1, rows.backend);
  const minus = scalar(-1, rows.backend);
  const signs: Tensor[] = [];
  for (let k = 0; k < r; k++) {
    const pivot = slice(slice(rest, 0, 0, 1), 1, 0, 1);
    const opposite = k === n - 1 ? minus : one;
    const sign = select(less(pivot, 0), opposite, negate(opposite));
    signs.push(sign);
    if (k === r - 1) break;
    const m = r - k;
    const column = slice(slice(rest, 0, 1, m), 1, 0, 1);
    const row = slice(slice(rest, 0, 0, 1), 1, 1, m);
    const below = slice(slice(rest, 0, 1, m), 1, 1, m);
    rest = subtract(below, matmul(divide(column, subtract(pivot, sign)), row));
  }
  return multiply(rows, concat(signs, 0));
}
