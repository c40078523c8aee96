/** principalSubspace() finds PEFT's directions (tests/oracles/peft_subspace.py). */
import assert from "node:assert/strict";
import { dispose, read } from "../../../core/mod.ts";
import { principalSubspace } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { goldenBase } from "../../support/golden_method.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

for (const backendName of ALL_BACKENDS) {
  Deno.test(`principalSubspace() finds PEFT's directions but for their signs (${backendName})`, () =>
    withBackend(backendName, (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const expected = goldenNumbers("peft_subspace/psoft.safetensors");
        for (const svd of ["exact", { iterations: 10 }] as const) {
          const subspace = await principalSubspace(model, { rank: 5, targets, svd });
          assert.equal(Object.keys(subspace).length, 6);
          for (const [path, v] of Object.entries(subspace)) {
            const [found, wanted] = [await read(v), expected.get(`param.${path}.frozen.v`)!];
            const width = v.shape[1]!;
            const signed = found.map((x, i) => {
              const row = Math.floor(i / width) * width;
              const dot = found.slice(row, row + width).reduce((sum, y, j) => sum + y * wanted[row + j]!, 0);
              return dot < 0 ? -x : x;
            });
            // 1e-4: vectors turn by f32's rounding over the gap between singular values.
            assertClose(signed, wanted, 1e-4, path);
          }
          dispose(subspace);
        }
        model.dispose();
      })));
}
