/** bitfit(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import {
  type Batch,
  dispose,
  forward,
  graft,
  keep,
  leaves,
  lossAndGrad,
  nest,
  read,
  scaled,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { bitfit } from "../../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { GOLDEN, goldenNumbers, goldenTensors } from "../../support/golden.ts";
import { changedOnly, elements, just } from "../../support/law_counts.ts";
import { trains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { printedShares, publishedCount, trainableOf, withShapes } from "../../support/published_counts.ts";
import { bertOf } from "../../support/published_shapes.ts";
import {
  assertSelective,
  encoderBatch,
  loadEncoder,
  selectiveGolden,
} from "../../support/selective_golden.ts";
import { tinyGpt2 } from "../../support/tiny_models.ts";

methodLaws("bitfit()", {
  method: just(bitfit()),
  atInit: "base",
  merges: "only",
  counts: (model) => {
    const present = elements(model, /\.bias$/);
    const { linears, norms, heads } = model.spec;
    const missing = [
      ...linears.filter((p) => !p.bias).map((p) => p.outFeatures),
      ...norms.filter((p) => !p.bias).map((p) => p.width),
      ...heads.filter((p) => !p.bias).map((p) => p.outFeatures),
    ].reduce((a, b) => a + b, 0);
    return { added: missing, trainable: present + missing, changed: present };
  },
});
methodLaws("bitfit() of the biases that are there", {
  method: just(bitfit({ missing: "skip" })),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /\.bias$/)),
  models: [(backend, key) => tinyGpt2(backend, key)],
});

methodLaws("scaled(bitfit(), 0.7), added biases included", {
  method: just(scaled(bitfit(), 0.7)),
  atInit: "base",
  merges: "only",
  counts: () => ({}),
});

for (const name of ALL_BACKENDS) {
  Deno.test(`bitfit() adds biases to T5's layers and norms (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const model = await loadEncoder("t5", backend);
        const expected = goldenNumbers("selective/bitfit_t5.safetensors");
        const params = keep(scope((): Synchronous<Tree> =>
          nest(
            [...goldenTensors("selective/bitfit_t5.safetensors", backend)]
              .filter(([key]) => key.startsWith("param."))
              .map(([key, t]) => [key.slice("param.".length), t] as const),
          ) as Synchronous<Tree>
        ));
        const method = bitfit();
        const fresh = method.init({ model, key: 0 });
        assert.deepEqual(
          leaves(fresh).map(([path, t]) => [path, t.size]).sort(),
          leaves(params.tree).map(([path, t]) => [path, t.size]).sort(),
        );
        dispose(fresh);
        const { logits } = forward(graft(model, { method, params: params.tree }), encoderBatch("t5"));
        assertClose(await read(logits), expected.get("logits")!, 1e-5, "logits");
        logits.storage.free();
        await assertSelective("bitfit_t5", model, method, params.tree, encoderBatch("t5"));
        params.dispose();
        model.dispose();
      })));
}

Deno.test("bitfit() gives a key's bias no gradient", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = await loadModel(`${GOLDEN}encoders/bert_text`, { backend });
      const method = bitfit();
      const params = method.init({ model, key: 0 });
      const batch: Batch = JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/bert_text/case.json`));
      const { grads } = await lossAndGrad(model, { method, params }, batch);
      const sizes = await Promise.all(
        leaves(grads).map(async ([path, g]) => [path, Math.max(...(await read(g)).map(Math.abs))] as const),
      );
      const most = Math.max(...sizes.map(([, size]) => size));
      const keys = sizes.filter(([path]) => path.endsWith(".key.bias"));
      assert.equal(keys.length, 3);
      for (const [path, size] of keys) assert.ok(size < 1e-6 * most, path);
      dispose([grads, params]);
      model.dispose();
    })));

selectiveGolden("bitfit_bert", "bert_text", bitfit());
trains("bitfit()", () => bitfit());
misfits("bitfit()", [
  [
    () => bitfit({ missing: "skip" }),
    /^Cannot place bitfit: llama has no bias of the chosen kind; use missing: "add"$/,
  ],
]);
publishedCount("bitfit() has 272,384 biases on BERT-large and 102,912 on BERT-base", () => {
  const bias = bitfit({ classifier: "bias" });
  const large = bertOf(1024, 24, 28_996, "BertForSequenceClassification");
  assert.equal(trainableOf(large, bias) - 2, 272_384); // the classifier's two left out
  assert.equal((100 * 272_384 / 333_579_264).toFixed(3), "0.082");
  assert.equal(trainableOf(large, bitfit()), 272_384 + 2 * 1024 + 2); // the classifier whole
  const base = bertOf(768, 12, 28_996, "BertForSequenceClassification");
  assert.equal(withShapes(base, (model) => elements(model, /./)), 108_310_272 + 2 * 768 + 2);
  assert.equal(trainableOf(base, bias) - 2, 102_912);
  assert.equal((100 * 102_912 / 108_310_272).toFixed(3), "0.095");
  // Query and first feed-forward layer: 24 · (1024 + 4096).
  assert.equal(trainableOf(large, bitfit({ biases: "queryAndUp", classifier: "bias" })), 122_880);
});
printedShares("bitfit()", [
  ["BitFit, bert-large-cased", 272_384, "bert-large-cased", "0.082"],
  ["BitFit, bert-base-cased", 102_912, "bert-base-cased", "0.095"],
]);
