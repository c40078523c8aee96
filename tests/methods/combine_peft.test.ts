/**
 * `combine` against PEFT's `add_weighted_adapter` (tests/oracles/weighted_adapters.py), where that too works on whole updates:
 * "cat", "svd", TIES and magnitude pruning. Tolerance 1e-5 of the largest entry: two f32 decompositions of 24 x 24.
 */
import assert from "node:assert/strict";
import { dispose, read, weightUpdates } from "../../core/mod.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { type Combination, combine } from "../../methods/mod.ts";
import { assertClose } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";

const WEIGHTS = [0.5, -1.25];
const KINDS: Readonly<Record<string, Combination>> = {
  cat: { method: "cat" },
  svd: { method: "svd", limit: { rank: 24 } },
  ties: { method: "ties", density: 0.4 },
  tiesFrequency: { method: "ties", density: 0.7, elect: "frequency" },
  magnitudePrune: { method: "magnitudePrune", density: 0.3 },
};

for (const name of ALL_BACKENDS.filter((name) => name !== "gpu")) {
  Deno.test(`combine() is PEFT's add_weighted_adapter over updates (${name})`, () =>
    withBackend(name, async (backend) => {
      const model = await loadModel(`${GOLDEN}llama_tiny/base`, { backend });
      const adapters = [
        await loadAdapter(`${GOLDEN}weighted/one`, model),
        await loadAdapter(`${GOLDEN}weighted/two`, model),
      ];
      const expected = goldenNumbers("weighted/updates.safetensors");
      for (const [kind, how] of Object.entries(KINDS)) {
        const { adapter } = await combine(model, adapters, WEIGHTS, how);
        const updates = weightUpdates(model, adapter);
        assert.equal(updates.length, 4);
        for (const { place, matrix } of updates) {
          const found = matrix();
          const wanted = expected.get(`${kind}.${place.path}`);
          assert.ok(wanted, `${kind}.${place.path}`);
          assertClose(await read(found), wanted, 1e-5, `${kind}.${place.path}`);
          dispose(found);
        }
        dispose(adapter.params);
      }
      dispose(adapters.map(({ params }) => params));
      model.dispose();
    }));
}
