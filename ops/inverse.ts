/** Inverses of small matrices. */
import { defineOp, type Op, scope, showShape, type Synchronous, type Tensor } from "../tensor/mod.ts";
import { add, subtract } from "./binary.ts";
import { negate, reciprocal } from "./unary.ts";
import { matmul } from "./matmul.ts";
import { concat, slice } from "./movement.ts";
import { rangeError } from "../errors/error.ts";

const inverseOp: Op<undefined> = defineOp({
  name: "inverse",
  shape: ([x]) => {
    const [rows, columns] = x!.shape.slice(-2);
    if (x!.shape.length < 2 || rows !== columns) {
      throw rangeError(
        "INVALID_TENSOR",
        `Cannot take the inverse of ${showShape(x!.shape)}: its matrices are not square`,
      );
    }
    return [x!.shape];
  },
  run: (backend, [x], [y]) => {
    const result = scope((): Synchronous<Tensor> => bySchur(x!));
    backend.copy(result, y!);
    result.storage.free();
  },
  vjp: (_, [y]) => ({
    saved: [y!],
    pull: (g) => [negate(matmul(matmul(y!, g, { transposeA: true }), y!, { transposeB: true }))], // −Yᵀ G Yᵀ
  }),
});

/**
 * The inverse of each matrix [..., n, n] whose symmetric part is positive definite (such as I plus a
 * skew-symmetric matrix): these need no pivoting, since every leading block and every Schur complement has
 * the same property.
 *
 * @example
 * ```ts
 * import { inverse } from "@graft/peft/ops";
 * import { read, reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const y = inverse(tensor([[1, 1], [-1, 1]], { backend: reference() }));
 * assert.deepEqual([...await read(y)], [0.5, -0.5, 0.5, 0.5]);
 * ```
 */
export function inverse(x: Tensor): Tensor {
  return inverseOp([x], undefined);
}

/** By halves: [A B; C D]⁻¹ from A⁻¹ and the inverse of S = D − C A⁻¹ B. */
function bySchur(x: Tensor): Tensor {
  const n = x.shape[x.shape.length - 1]!;
  if (n === 1) return reciprocal(x);
  const h = n >> 1;
  const part = (r0: number, r1: number, c0: number, c1: number): Tensor =>
    slice(slice(x, -2, r0, r1), -1, c0, c1);
  const a = bySchur(part(0, h, 0, h));
  const [b, c, d] = [part(0, h, h, n), part(h, n, 0, h), part(h, n, h, n)];
  const [ab, ca] = [matmul(a, b), matmul(c, a)];
  const s = bySchur(subtract(d, matmul(c, ab)));
  const [abs, sca] = [matmul(ab, s), matmul(s, ca)];
  return concat([
    concat([add(a, matmul(ab, sca)), negate(abs)], -1),
    concat([negate(sca), s], -1),
  ], -2);
}
