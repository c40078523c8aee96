/** far(): the laws of methods, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import type { Model } from "../../../core/mod.ts";
import { far, feedForwardLayers, learnerCount } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { countsOf, publishedCount, withShapes } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import { tinyGpt2, tinyLlama } from "../../support/tiny_models.ts";

/** Every third node of each feed-forward layer. */
const learners = ({ spec }: Model): Readonly<Record<string, readonly number[]>> =>
  Object.fromEntries(
    feedForwardLayers(spec).map(({ path, outFeatures }) => [
      path,
      Array.from({ length: Math.floor(outFeatures / 3) }, (_, j) => 3 * j + 1),
    ]),
  );
for (const [name, tiny] of [["without", tinyLlama], ["with", tinyGpt2]] as const) {
  methodLaws(`far() ${name} biases`, {
    method: (model) => ({ method: far({ learners: learners(model) }) }),
    atInit: "base",
    merges: name === "without" ? "and unmerges" : "only",
    counts: (model) => {
      const n = feedForwardLayers(model.spec).reduce(
        (n, { path, inFeatures, bias }) => n + learners(model)[path]!.length * (inFeatures + (bias ? 1 : 0)),
        0,
      );
      return { trainable: n, changed: n };
    },
    models: [(backend, key) => tiny(backend, key)],
  });
}

Deno.test("budgets below one element are refused", () => {
  const place = { path: "mlp.up_proj", outFeatures: 10 };
  assert.equal(learnerCount(place, 0.06), 1);
  assert.throws(() => learnerCount(place, 0.04), {
    name: "RangeError",
    message: 'Expected retention to leave at least one of the 10 nodes of "mlp.up_proj" but found 0.04',
  });
  assert.throws(() => far({ learners: {} }), RangeError);
});

trains("far()", (model) =>
  far({
    learners: Object.fromEntries(feedForwardLayers(model.spec).map(({ path }) => [path, [0, 3, 4, 9]])),
  }));
publishedCount(
  "far() has 2,836,224 of DistilBERT's 28,334,592 feed-forward parameters at 10 %, 11,331,072 at 40 %",
  () =>
    withShapes(bertOf(768, 6, 30_522), (model) => { // DistilBERT's blocks are BERT's
      const layers = feedForwardLayers(model.spec);
      const all = layers.reduce((n, { inFeatures, outFeatures }) => n + outFeatures * (inFeatures + 1), 0);
      assert.equal(all, 28_334_592);
      for (const [retention, expected] of [[0.1, 2_836_224], [0.4, 11_331_072]] as const) {
        const learners = Object.fromEntries(
          layers.map((
            place,
          ) => [place.path, Array.from({ length: learnerCount(place, retention) }, (_, j) => j)]),
        );
        const found = countsOf(bertOf(768, 6, 30_522), far({ learners })).trained;
        assert.deepEqual([found.trainable, found.changed], [expected, expected]);
      }
    }),
);
misfits("far()", [
  [
    () => far({ learners: { "model.layers.0.mlp.up_proj": [1, 1] } }),
    /learning nodes of far for ".*up_proj" to rise below 10 but found 1 after 1/,
  ],
  [
    () => far({ learners: { "model.layers.0.mlp.up_proj": [3, 10] } }),
    /to rise below 10 but found 10 after 3/,
  ],
]);
