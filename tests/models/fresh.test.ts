/** Fresh models that are quantized as they are made: the same codes as afterwards, without the whole in memory. */
import assert from "node:assert/strict";
import { bytesOf, memory, quantize, smallConfig, weightLeaves } from "../../mod.ts";
import { freshModel } from "../../models/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { BACKENDS, withBackend } from "../support/backends.ts";

const config = smallConfig("llama", { width: 64 });
const options = { dtype: "nf4_double", embeddings: "f16" } as const;

for (const name of BACKENDS) {
  Deno.test(`freshModel() quantizes on the way in as quantize() does afterwards (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const whole = freshModel(config, { backend, key: 3 });
        const after = quantize(whole, options);
        const before = memory(backend).live;
        const made = freshModel(config, { backend, key: 3, quantize: options });
        const expected = new Map(weightLeaves(after.weights));
        for (const [path, leaf] of weightLeaves(made.weights)) {
          assert.equal(leaf.dtype, expected.get(path)!.dtype, path);
          assert.deepEqual(await bytesOf(leaf), await bytesOf(expected.get(path)!), path);
        }
        assert.ok(memory(backend).live - before < before / 3);
        for (const model of [made, after, whole]) model.dispose();
      })));
}

Deno.test("freshModel() names the weight that a dtype cannot store", () =>
  withBackend("reference", (backend) => {
    const q8 = { dtype: "q8_0", targets: ["down_proj"] } as const;
    const make = () => freshModel(smallConfig("llama", { width: 8 }), { backend, key: 0, quantize: q8 });
    assert.throws(make, /Cannot quantize "model.layers.0.mlp.down_proj.weight"/);
    return Promise.resolve();
  }));
