/**
 * PVeRA: the laws of methods, golden cases of PEFT (tests/oracles/peft_shared_vectors.py), a base in four bits and what is refused; and
 * what it draws in training: a normal distribution whose mean and variance the input and its scales give.
 */
import assert from "node:assert/strict";
import {
  chooseTargets,
  key,
  type LinearCall,
  read,
  scope,
  sizesOf,
  tensor,
  type Tree,
} from "../../../core/mod.ts";
import { pvera } from "../../../methods/mod.ts";
import { full, ones } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";
import { onCodes } from "../../support/on_codes.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

Deno.test("pvera() draws B z with z of the mean and the variance that λ_d and A x give, and without a key it is the mean", async () => {
  const backend = reference();
  const model = tinyLlama(backend, 1);
  const n = 4000;
  const run = (train: boolean) =>
    scope(() => {
      const layer = {
        lambdaD: tensor([2, 3], { backend }),
        lambdaB: tensor([4, ...Array(15).fill(0)], { backend }),
      };
      const params = {
        model: { layers: { 0: { self_attn: { q_proj: layer } } } },
        frozen: { a: full([2, 12], 0.1, backend), b: full([16, 1], 0.5, backend) },
      } as unknown as Tree;
      const [edit] = pvera({ rank: 1, targets: ["q_proj"], layers: [0] }).edits(params, model.spec);
      assert.ok(edit?.kind === "linear" && edit.change.form === "delta");
      const call = { x: ones([n, 12], backend), train, key: train ? key(1) : undefined };
      return edit.change.delta.run(call as unknown as LinearCall);
    });
  const [drawn, plain] = [run(true), run(false)];
  const first = async (t: typeof drawn) => (await read(t)).filter((_, i) => i % 16 === 0);
  // A x = [1.2, 1.2]: μ = 2.4 and log σ² = 3.6, times λ_b B = 2.
  assert.ok((await first(plain)).every((y) => Math.abs(y - 4.8) < 1e-5));
  const values = [...await first(drawn)];
  const mean = values.reduce((a, b) => a + b, 0) / n;
  const deviation = Math.sqrt(values.reduce((sum, y) => sum + (y - mean) ** 2, 0) / n);
  // Four standard errors of 4000 draws.
  const wanted = 2 * Math.exp(1.8);
  assert.ok(Math.abs(mean - 4.8) < 4 * wanted / Math.sqrt(n), `${mean}`);
  assert.ok(Math.abs(deviation - wanted) < 4 * wanted / Math.sqrt(2 * n), `${deviation}`);
  for (const t of [drawn, plain]) t.storage.free();
  model.dispose();
});

laws(
  "pvera()",
  pvera({ ...ALL, rank: 3, dropout: 0.2 }),
  (model) => {
    const { trainable } = each(ALL, (_, o) => 2 * 3 + o)(model) as { trainable: number };
    const sizes = chooseTargets(model.spec, ALL).map(sizesOf);
    const shared = 3 *
      (2 * Math.max(...sizes.map((s) => s.inFeatures)) + Math.max(...sizes.map((s) => s.outFeatures)));
    return { trainable, stored: trainable + shared };
  },
  { merges: "only" },
);
laws(
  "pvera() regenerated",
  pvera({ rank: 2, projections: "regenerated", initialD: 0.5 }),
  (model) => {
    const { trainable } = each({}, (_, o) => 2 * 2 + o)(model) as { trainable: number };
    return { trainable, stored: trainable };
  },
  { merges: "only" },
);

goldenMethods({
  pvera: pvera({ rank: 5, projectionSeed: 99, targets: TARGETS }),
  "pvera regenerated": pvera({ rank: 5, projectionSeed: 3, projections: "regenerated", targets: TARGETS }),
});

misfits("pvera()", [
  [() => pvera({ rank: 0 }), /^Expected pvera.s option "rank" to be a positive integer.* but found 0$/],
  [
    () => pvera({ dropout: -1 }),
    /^Expected pvera.s option "dropout" to be a number from 0 up to 1 but found -1$/,
  ],
]);
onCodes({ "pvera()": pvera({ rank: 3 }) });
