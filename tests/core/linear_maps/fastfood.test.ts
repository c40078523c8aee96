/** Fastfood with the draws of a key: the kernels that draw where they use against the composition of general ops. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fc from "fast-check";
import {
  type Backend,
  bytesOf,
  fastfood,
  fastfoodDraws,
  key,
  read,
  scope,
  seededFastfood,
  type Synchronous,
  type Tensor,
  tensor,
  valueAndGrad,
} from "../../../core/mod.ts";
import { multiply, sum, walshHadamard } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { wasm } from "../../../ops/wasm/mod.ts";
import { noise } from "../../ops/kernel_operands.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";

interface Case {
  readonly d: number;
  readonly size: number;
  readonly block: number;
  readonly seed: number;
}

/** P v and the gradient of a weighted sum of it. */
function valueAndGradient(backend: Backend, f: (v: Tensor) => Tensor, { d, size }: Case): readonly Tensor[] {
  return scope((): Synchronous<readonly Tensor[]> => {
    const v = tensor(noise(d, 1), { backend });
    const g = tensor(noise(size, 2), { backend });
    const { value, gradients } = valueAndGrad(({ v }: { v: Tensor }) => sum(multiply(f(v), g)))({ v });
    value.storage.free();
    return [f(v), (gradients as { v: Tensor }).v];
  });
}

/** Lengths of v, outputs and blocks: one block and several, blocks below and above what the kernels transform at once. */
const CASES: fc.Arbitrary<Case> = fc.tuple(fc.nat(15), fc.nat(14), fc.nat(4), fc.nat(1000), fc.nat(1000)).map(
  ([dBits, blockBits, rows, odd, seed]) => {
    const block = 2 ** blockBits;
    const size = Math.min(40_000, rows * block + 1 + odd % block);
    return { d: Math.max(1, 2 ** dBits - odd % 2 ** dBits), size, block, seed };
  },
);

Deno.test("seededFastfood() of wasm is the composition, forwards and backwards, in the same bits for any threads", async () => {
  const oracle = reference();
  const [single, threaded] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
  try {
    const check = async (c: Case): Promise<void> => {
      const name = JSON.stringify(c);
      const drawn = (backend: Backend) =>
        valueAndGradient(backend, (v) => seededFastfood(v, key(c.seed), c.size, c.block), c);
      const expected = valueAndGradient(
        oracle,
        (v) => fastfood(v, fastfoodDraws(key(c.seed), c.size, c.block, oracle), c.size),
        c,
      );
      const [one, three] = [drawn(single), drawn(threaded)];
      for (const [i, what] of ["P v", "gradient"].entries()) {
        assert.ok(
          Buffer.from(await bytesOf(one[i]!)).equals(await bytesOf(three[i]!)),
          `${name}, ${what}: one and three threads differ`,
        );
        // 2e-5 of the largest: normals by polynomials in f32, where the oracle's sums are f64.
        assertClose(await read(one[i]!), await read(expected[i]!), 2e-5, `${name}, ${what}`);
      }
      for (const t of [...one, ...three, ...expected]) t.storage.free();
    };
    await fc.assert(fc.asyncProperty(CASES, check), { numRuns: 25 });
    // As large as a projection of SmolLM2: 128 blocks, 32 tasks that collect.
    await check({ d: 1000, size: 331_776, block: 524_288, seed: 7 });
  } finally {
    single.close();
    threaded.close();
  }
});

for (const backendName of ALL_BACKENDS) {
  Deno.test(`walshHadamard() is its own gradient (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        const [x, g] = [noise(96, 1), noise(96, 2)].map((v) => tensor(v, { backend, shape: [3, 32] }));
        const { value, gradients } = valueAndGrad(({ x }: { x: Tensor }) =>
          sum(multiply(walshHadamard(x), g!))
        )({ x: x! });
        const expected = scope(() => walshHadamard(g!));
        assertClose(await read((gradients as { x: Tensor }).x), await read(expected), 1e-6, "gradient");
        for (const t of [x!, g!, value, (gradients as { x: Tensor }).x, expected]) t.storage.free();
      })));
}
