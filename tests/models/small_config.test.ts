/** Small configs: every family runs, has the sizes asked for, and takes every place a method may want. */
import assert from "node:assert/strict";
import { adapt, dispose, forward, lora } from "../../mod.ts";
import { freshModel, smallConfig } from "../../models/mod.ts";
import { reference } from "../../ops/reference/mod.ts";

const SIZES = { width: 24, heads: 3, inner: 40, layers: 3, vocabulary: 19, context: 8 };

for (const family of ["llama", "gpt2", "bert", "t5"] as const) {
  Deno.test(`smallConfig("${family}") gives a model of the sizes that were asked for`, () => {
    const model = freshModel(smallConfig(family, SIZES), { backend: reference(), key: 0 });
    const { embeddings, blocks, attentions, linears } = model.spec;
    assert.equal(embeddings[0]!.rows, SIZES.vocabulary);
    assert.ok(blocks.every(({ width }) => width === SIZES.width));
    assert.equal(blocks.length, family === "t5" ? 2 * SIZES.layers : SIZES.layers);
    assert.ok(attentions.every(({ heads, headDim }) => heads === SIZES.heads && headDim === 8));
    assert.ok(linears.some(({ outFeatures }) => outFeatures === SIZES.inner));
    const ids = [[1, 2, 3]];
    const { logits } = forward(model, { inputIds: ids, ...family === "t5" && { decoderInputIds: ids } });
    assert.deepEqual(logits.shape.slice(0, 2), [1, 3]);
    const adapter = adapt(model, lora({ rank: 2, targets: "all-linear" }));
    dispose([logits, adapter.params]);
    model.dispose();
  });
}

Deno.test("a small model reads texts up to its context and no longer", () => {
  const model = freshModel(smallConfig("gpt2", { context: 4 }), { backend: reference(), key: 0 });
  dispose(forward(model, { inputIds: [[1, 2, 3, 4]] }).logits);
  assert.throws(() => forward(model, { inputIds: [[1, 2, 3, 4, 5]] }), RangeError);
  model.dispose();
});
