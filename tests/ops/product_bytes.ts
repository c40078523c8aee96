/** The bytes of a product, for tests of how its work is shared out. */
import type { Backend } from "../../core/tensor/backend.ts";
import { fromBytes, scope } from "../../core/tensor/mod.ts";
import { matmul } from "../../ops/mod.ts";
import { noise } from "./kernel_operands.ts";

/** Of matrices [m, k] and [k, n] of noise, stored in the orientations given. */
export function productBytes(
  backend: Backend,
  [m, n, k]: readonly [m: number, n: number, k: number],
  transposeA: boolean,
  transposeB: boolean,
): Uint8Array {
  const matrix = (rows: number, columns: number, seed: number) =>
    fromBytes(new Uint8Array(noise(rows * columns, seed).buffer), [rows, columns], "f32", backend);
  return scope((): Uint8Array => {
    const a = transposeA ? matrix(k, m, 1) : matrix(m, k, 1);
    const b = transposeB ? matrix(n, k, 2) : matrix(k, n, 2);
    return backend.download(matmul(a, b, { transposeA, transposeB }).raw, 4 * m * n) as Uint8Array;
  });
}
