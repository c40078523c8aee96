/** qlora(): behaviours of its own. */
import assert from "node:assert/strict";
import { adapt, count, dispose, leaves, lossAndGrad, quantize } from "../../../core/mod.ts";
import { loraScale, qlora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { goldenBase, goldenBatch } from "../../support/golden_method.ts";

Deno.test("qlora() adapts every linear layer with rank 64 over α 16, and learns on a base in four bits", async () => {
  const base = await goldenBase(reference());
  const model = quantize(base, { dtype: "nf4_double" });
  const adapter = adapt(model, qlora());
  const layers = model.spec.linears;
  assert.equal(
    count(model, adapter).trainable,
    layers.reduce((n, { inFeatures, outFeatures }) => n + 64 * (inFeatures + outFeatures), 0),
  );
  assert.ok(Math.abs(loraScale("model.layers.0.mlp.up_proj", adapter.method.config) - 0.25) < 1e-12);
  const { grads } = await lossAndGrad(model, adapter, goldenBatch());
  assert.equal(leaves(grads).length, 2 * layers.length);
  dispose([grads, adapter.params]);
  model.dispose();
  base.dispose();
});

Deno.test("qlora() takes another rank", () => assert.equal(qlora({ rank: 8 }).config["rank"], 8));
