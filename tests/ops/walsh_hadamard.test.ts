/** The Walsh–Hadamard transform against its definition. */
import assert from "node:assert/strict";
import { read, scope, tensor } from "../../core/mod.ts";
import { walshHadamard } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";

for (const backendName of ALL_BACKENDS) {
  Deno.test(`walshHadamard() is the sum over signs (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        for (const k of [1, 2, 64, 128, 1024]) {
          const x = Array.from({ length: 2 * k }, (_, i) => Math.sin(i * i + 1));
          const bits = (i: number): number => i === 0 ? 0 : (i & 1) + bits(i >> 1);
          const expected = x.map((_, at) => {
            const [row, i] = [Math.floor(at / k), at % k];
            let y = 0;
            for (let j = 0; j < k; j++) y += (bits(i & j) % 2 === 0 ? 1 : -1) * x[row * k + j]!;
            return y;
          });
          const y = scope(() => walshHadamard(tensor(x, { backend, shape: [2, k] })));
          assertClose(await read(y), expected, 1e-5, `K = ${k}`);
          y.storage.free();
        }
        assert.throws(() => scope(() => walshHadamard(tensor([1, 2, 3], { backend }))), /power of two/);
      })));
}
