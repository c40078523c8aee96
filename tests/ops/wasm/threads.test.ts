/** How work is shared out may depend on the number of threads; what comes out must not, to the last bit. */
import { wasm } from "../../../ops/wasm/mod.ts";
import { assertSameBits, productBytes } from "../product_bytes.ts";

Deno.test("matmul() of wasm gives the same bits for any number of threads", async () => {
  const runs = new Map<number, ReadonlyMap<string, Uint8Array>>();
  for (const threads of [1, 2, 3, 5, 8]) {
    const backend = await wasm({ threads });
    try {
      runs.set(threads, productBytes(backend));
    } finally {
      backend.close();
    }
  }
  assertSameBits(runs);
});

Deno.test("workers of wasm leave a job to others while they do not see memory that has just grown", async () => {
  for (let round = 0; round < 30; round++) {
    const backend = await wasm({ threads: 2 });
    try {
      for (let i = 0; i < 60; i++) {
        const n = 1 << 20;
        backend.fill(i, { raw: backend.allocate(4 * n), shape: [n], dtype: "f32" });
        if (i % 7 === 0) await new Promise((done) => setTimeout(done, 2)); // workers fall asleep
      }
    } finally {
      backend.close();
    }
  }
});
