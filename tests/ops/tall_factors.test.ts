/** Factorisations of matrices with many more rows than columns, which wasm factors in a way of its own. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { key, read, scope, type Tensor, tensor } from "../../core/mod.ts";
import { add, identity, matmul, multiply, normal, qr, slice, svd, transpose } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";
import { assertClose } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";

/** |qᵀ q − 1| at most. */
async function departure(q: Tensor): Promise<number> {
  const found = await read(matmul(q, q, { transposeA: true }));
  const unit = await read(identity(q.shape[1]!, q.backend));
  return Math.max(...found.map((value, i) => Math.abs(value - unit[i]!)));
}

const shapes = fc.record({
  n: fc.integer({ min: 1, max: 20 }),
  more: fc.integer({ min: 0, max: 60 }),
  seed: fc.nat(1e6),
});

Deno.test("qr() and svd() of tall and wide matrices equal the reference's", () =>
  withBackend("wasm", async (backend) => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ n, more, seed }) => {
        const values = await read(normal(key(seed), [4 * n + more, n], backend));
        const on = (where: typeof backend): Tensor =>
          tensor(values, { backend: where, shape: [4 * n + more, n] });
        const [own, oracle] = [on(backend), on(reference())];
        const [a, b] = [qr(own), qr(oracle)];
        // 1e-6: both compute in f64 and round once; the factors of a Gaussian matrix are well determined.
        assertClose(await read(a.q), await read(b.q), 1e-6, `q of ${values.length / n} x ${n}`);
        assertClose(await read(a.r), await read(b.r), 1e-6, `r of ${values.length / n} x ${n}`);
        const [wide, wideOracle] = [svd(transpose(own)), svd(transpose(oracle))];
        assertClose(await read(wide.s), await read(wideOracle.s), 1e-6, "s");
        const again = matmul(multiply(wide.u, wide.s), wide.vt);
        assertClose(await read(again), await read(transpose(own)), 2e-6, "u s vt");
        assert.ok(await departure(transpose(wide.vt)) < 2e-6);
      }),
      { numRuns: 40 },
    );
  }));

Deno.test("qr() of tall matrices with nearly dependent columns stays orthonormal", () =>
  withBackend("wasm", async (backend) => {
    for (const distance of [1, 1e-2, 1e-3, 1e-4, 1e-6, 0]) {
      const base = normal(key(1), [300, 9], backend);
      const noise = multiply(normal(key(2), [300, 9], backend), distance);
      // The last columns come nearer and nearer to the first one.
      const first = slice(base, 1, 0, 1);
      const x = add(multiply(first, tensor([[1, 1, 1, 1, 1, 1, 1, 1, 1]], { backend })), noise);
      const { q, r } = qr(x);
      assert.ok(await departure(q) < 2e-6, `at a distance of ${distance}: ${await departure(q)}`);
      assertClose(await read(matmul(q, r)), await read(x), 2e-6, `q r at a distance of ${distance}`);
    }
  }));

Deno.test("qr() of a tall matrix spreads what is not finite and takes zeros", async () => {
  const backend = await wasm({ threads: 1 });
  try {
    scope((): number => {
      const zero = qr(tensor(new Float32Array(60), { backend, shape: [20, 3] }));
      const r = new Float32Array((backend.download(zero.r.raw, 36) as Uint8Array).buffer);
      assert.deepEqual([...r], new Array(9).fill(0));
      return 0;
    });
    for (const bad of [NaN, Infinity]) {
      const values = Float32Array.from({ length: 60 }, (_, i) => i === 31 ? bad : i % 7);
      scope((): number => {
        const { r } = qr(tensor(values, { backend, shape: [20, 3] }));
        const found = new Float32Array((backend.download(r.raw, 36) as Uint8Array).buffer);
        assert.ok(found.some((value) => !Number.isFinite(value)));
        return 0;
      });
    }
  } finally {
    backend.close();
  }
});
