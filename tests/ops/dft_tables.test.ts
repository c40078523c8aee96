/** Fourier tables against their definition. */
import fc from "fast-check";
import { read, scope, type Synchronous } from "../../core/mod.ts";
import { dftTables } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";

for (const backendName of ALL_BACKENDS) {
  Deno.test(`dftTables() are cosines and sines, exact at large n (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(() =>
        fc.assert(
          fc.asyncProperty(
            fc.constantFrom(1, 2, 5, 16, 37, 11008),
            fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
            async (n, picks) => {
              const frequencies = picks.map((p) => p % n);
              const { cos, sin } = scope((): Synchronous<ReturnType<typeof dftTables>> =>
                dftTables(frequencies, n, backend)
              );
              const angles = Array.from(
                { length: n },
                (_, p) => frequencies.map((f) => 2 * Math.PI * ((p * f) % n) / n),
              ).flat();
              // 1e-6 of 1: two f32 factors and a product.
              assertClose([...await read(cos), 1], [...angles.map(Math.cos), 1], 1e-6);
              assertClose([...await read(sin), 1], [...angles.map(Math.sin), 1], 1e-6);
              for (const t of [cos, sin]) t.storage.free();
            },
          ),
          { numRuns: 12 },
        )
      )));
}
