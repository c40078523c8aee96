/** Ranks that no matrix of the model has are refused before anything is planned. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { freshModel, reference, sizesOf, smallConfig } from "../../mod.ts";
import { chooseMethod } from "../../tuning/chosen_method.ts";
import { optionsFromFlags } from "../../tuning/method_from_flags.ts";

const { spec } = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
const sides = spec.linears
  .filter(({ layer }) => layer !== undefined)
  .map(sizesOf)
  .map(({ inFeatures, outFeatures }) => Math.min(inFeatures, outFeatures));
const most = Math.max(...sides);

for (const name of ["lora", "dora", "pissa", "loha", "vb-lora"]) {
  Deno.test(`${name}: a rank is refused when it is above the smaller side of every matrix, and only then`, async () => {
    const chosen = await chooseMethod(name);
    fc.assert(fc.property(fc.integer({ min: 1, max: 3 * most }), fc.boolean(), (rank, flag) => {
      const made = () =>
        optionsFromFlags({ ...chosen, ...flag ? { rank } : { options: { rank } } }, spec)["rank"];
      if (rank <= most) assert.equal(made(), rank);
      else assert.throws(made, new RegExp(`Cannot use rank ${rank} .* above ${most} \\(`));
    }));
  });
}

Deno.test("ranks of vectors that scale shared random matrices are no ranks of the model's matrices", async () => {
  const chosen = await chooseMethod("vera");
  assert.equal(optionsFromFlags({ ...chosen, rank: 2 * most }, spec)["rank"], 2 * most);
});
