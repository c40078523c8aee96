/** How work is shared out may depend on the number of threads; what comes out must not, to the last bit. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { Backend } from "../../core/tensor/backend.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { productBytes } from "./product_bytes.ts";

/**
 * [m, n, k]: strips that divide evenly and not, one block of rows and several, k of one panel and of several; few columns and
 * few rows.
 */
const SHAPES = [
  [128, 576, 96],
  [130, 1100, 40],
  [127, 600, 64],
  [33, 8, 576],
  [9, 70, 1536],
  [5, 8, 4500],
  [1000, 24, 1100],
  [17, 700, 130],
] as const;

Deno.test("matmul() of wasm gives the same bits for any number of threads", async () => {
  const backends: Backend[] = [];
  for (const threads of [1, 2, 3, 5, 8]) backends.push(await wasm({ threads }));
  try {
    for (const shape of SHAPES) {
      for (const [ta, tb] of [[false, false], [false, true], [true, false], [true, true]] as const) {
        const [first, ...others] = backends.map((backend) => productBytes(backend, shape, ta, tb));
        for (const [i, bytes] of others.entries()) {
          assert.ok(
            Buffer.from(first!).equals(bytes),
            `[${shape}] ${ta} ${tb}: ${[2, 3, 5, 8][i]} threads differ`,
          );
        }
      }
    }
  } finally {
    for (const backend of backends) backend.close();
  }
});

Deno.test("workers of wasm leave a job to others while they do not see memory that has just grown", async () => {
  for (let round = 0; round < 20; round++) {
    const backend = await wasm({ threads: 3 });
    try {
      for (let i = 0; i < 40; i++) {
        const n = 1 << 20;
        backend.fill(i, { raw: backend.allocate(4 * n), shape: [n], dtype: "f32" });
        if (i % 7 === 0) await new Promise((done) => setTimeout(done, 2)); // workers fall asleep
      }
    } finally {
      backend.close();
    }
  }
});
