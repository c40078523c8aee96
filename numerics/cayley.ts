/**
 * Rotations from skew-symmetric matrices by the Cayley transform, exactly or by a few terms of its series.
 */
import type { Tensor } from "../tensor/mod.ts";
import {
  add,
  identity,
  integers,
  inverse,
  matmul,
  multiply,
  reshape,
  scatterAddLast,
  subtract,
  transpose,
} from "../ops/mod.ts";

/** (I − Q)(I + Q)⁻¹ for skew Q [n, b, b]: orthogonal. */
export function cayley(q: Tensor): Tensor {
  const unit = identity(q.shape[1]!, q.backend);
  return matmul(subtract(unit, q), inverse(add(unit, q)));
}

/**
 * I + 2Q + 2Q² + … + 2Q^(p−1) + Q^p, the first terms of the series of the Cayley transform of −Q (arXiv
 * 2506.19847), with the last one halved as in PEFT; p = max(terms − 1, 3), as there. With one term it is I,
 * with two I + 2Q. Nearly orthogonal.
 */
export function cayleyNeumann(q: Tensor, terms: number): Tensor {
  const unit = identity(q.shape[1]!, q.backend);
  if (terms === 1) return add(unit, multiply(q, 0));
  if (terms === 2) return add(unit, multiply(q, 2));
  const twice = multiply(unit, 2);
  let sum = q;
  for (let power = Math.max(terms - 1, 3); power > 1; power--) sum = matmul(q, add(twice, sum)); // Horner's scheme
  return add(unit, sum);
}

/** Skew-symmetric matrices [n, b, b] from their upper triangles [n, b (b − 1) / 2], row by row. */
export function skewFromUpper(upper: Tensor, b: number): Tensor {
  const n = upper.shape[0]!;
  const positions: number[] = [];
  for (let row = 0; row < b; row++) {
    for (let column = row + 1; column < b; column++) positions.push(row * b + column);
  }
  const ids = integers(Array.from({ length: n }, () => positions).flat(), upper.backend, [
    n,
    positions.length,
  ]);
  const half = reshape(scatterAddLast(upper, ids, [n, b * b]), [n, b, b]);
  return subtract(half, transpose(half));
}
