/** Products for tests of how their work is shared out: it may depend on the number of threads, the bits must not. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Backend } from "../../tensor/backend.ts";
import { fromBytes, scope } from "../../tensor/mod.ts";
import { matmul } from "../../ops/mod.ts";
import { noise } from "./kernel_operands.ts";

/**
 * [m, n, k]: strips and tiles that divide evenly and not, one block of rows and several, k of one panel and of several; few
 * columns and few rows.
 */
const SHAPES = [
  [128, 576, 96],
  [130, 1100, 40],
  [127, 600, 64],
  [127, 600, 640],
  [33, 8, 576],
  [9, 70, 1536],
  [5, 8, 4500],
  [1000, 24, 1100],
  [17, 700, 130],
] as const;
const BOTH = [false, true] as const;

/** The bytes of a product of noise for each shape, in each orientation, by what it is. */
export function productBytes(backend: Backend): ReadonlyMap<string, Uint8Array> {
  return new Map(
    SHAPES.flatMap((shape) =>
      BOTH.flatMap((ta) =>
        BOTH.map((tb) => [`[${shape}] ${ta} ${tb}`, bytesOf(backend, shape, ta, tb)] as const)
      )
    ),
  );
}

/** Asserts that products are those of the first run, which had another number of threads. */
export function assertSameBits(runs: ReadonlyMap<number, ReadonlyMap<string, Uint8Array>>): void {
  const [first, ...others] = [...runs];
  for (const [threads, products] of others) {
    for (const [what, bytes] of first![1]) {
      assert.ok(Buffer.from(bytes).equals(products.get(what)!), `${what}: ${threads} threads differ`);
    }
  }
}

function bytesOf(
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
