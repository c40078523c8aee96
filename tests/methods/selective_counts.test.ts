/** Counts of selective methods that papers report, from the architectures' shapes alone. */
import assert from "node:assert/strict";
import {
  adapt,
  count,
  type Counts,
  dispose,
  type LinearPlace,
  type Method,
  type Model,
  type Spec,
  weightLeaves,
} from "../../core/mod.ts";
import { configShapes } from "../../io/model_shapes.ts";
import {
  bitfit,
  crossAttention,
  diffPruning,
  far,
  feedForwardLayers,
  gatedSize,
  keptCount,
  layerNormTune,
  learnerCount,
  ltSft,
  topLayers,
} from "../../methods/mod.ts";
import { shapesOnly } from "../../ops/mod.ts";
import { fishBudget } from "../../recipes/fish_mask.ts";

const bertShape = (width: number, layers: number, vocabulary: number, head: boolean): Model =>
  configShapes({
    model_type: "bert",
    architectures: [head ? "BertForSequenceClassification" : "BertModel"],
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: width / 64,
    intermediate_size: 4 * width,
    vocab_size: vocabulary,
    max_position_embeddings: 512,
    type_vocab_size: 2,
  });
const bertLarge = (): Model => bertShape(1024, 24, 28_996, true);
const t5Base = (): Model =>
  configShapes({
    model_type: "t5",
    d_model: 768,
    num_heads: 12,
    d_kv: 64,
    d_ff: 3072,
    num_layers: 12,
    vocab_size: 32_128,
  });

/** Counts of a fresh adapter; nothing stays behind. */
function counts(model: Model, method: Method): Counts {
  const adapter = adapt(model, method);
  const found = count(model, adapter);
  dispose(adapter.params);
  return found;
}

const sizeOf = (model: Model): number => weightLeaves(model.weights).reduce((n, [, t]) => n + t.size, 0);

Deno.test("bitfit() has 272,384 biases on BERT-large and 102,912 on BERT-base", () => {
  const bias = bitfit({ classifier: "bias" });
  const large = bertLarge();
  assert.equal(counts(large, bias).trainable - 2, 272_384); // the classifier's two left out
  assert.equal((100 * 272_384 / 333_579_264).toFixed(3), "0.082");
  assert.equal(counts(large, bitfit()).trainable, 272_384 + 2 * 1024 + 2); // the classifier whole
  const base = bertShape(768, 12, 28_996, true);
  assert.equal(sizeOf(base), 108_310_272 + 2 * 768 + 2);
  assert.equal(counts(base, bias).trainable - 2, 102_912);
  assert.equal((100 * 102_912 / 108_310_272).toFixed(3), "0.095");
  // Query and first feed-forward layer: 24 · (1024 + 4096).
  assert.equal(counts(large, bitfit({ biases: "queryAndUp", classifier: "bias" })).trainable, 122_880);
});

Deno.test("fishBudget() of BERT-large with two labels is 1,667,906, of which 1,665,856 are masked", () => {
  const large = bertLarge();
  assert.equal(sizeOf(large), 333_581_314);
  assert.deepEqual(fishBudget(large, { ratio: 0.005 }), {
    total: 1_667_906,
    whole: 2_050,
    masked: 1_665_856,
  });
});

Deno.test("layerNormTune() has T5-base's 62 norms of 768", () => {
  const model = t5Base();
  assert.equal(sizeOf(model), 222_903_552);
  assert.equal(counts(model, layerNormTune()).trainable, 47_616);
});

Deno.test("topLayers() has 7,087,872 parameters in BERT-base's last block, and 590,592 in the pooler", () => {
  const base = bertShape(768, 12, 28_996, true);
  assert.equal(counts(base, topLayers({ above: "frozen" })).trainable, 7_087_872);
  assert.equal(counts(base, topLayers()).trainable, 7_087_872 + 590_592 + 2 * 768 + 2);
});

Deno.test("crossAttention() has 6,309,888 parameters in six decoder layers of width 512", () => {
  const width = 512;
  const linear = (layer: number, name: string): LinearPlace => ({
    kind: "linear",
    path: `decoder.layers.${layer}.encoder_attn.${name}`,
    stack: "decoder",
    layer,
    role: name === "out_proj" ? "output" : "other",
    inFeatures: width,
    outFeatures: width,
    transposed: false,
    bias: true,
  });
  const at = { stack: "decoder" } as const;
  const layers = Array.from({ length: 6 }, (_, layer) => layer);
  const part = (layer: number) => ({ ...at, layer, path: `decoder.layers.${layer}.encoder_attn` });
  const spec: Spec = {
    architecture: "fairseq",
    linears: layers.flatMap((l) => ["q_proj", "k_proj", "v_proj", "out_proj"].map((name) => linear(l, name))),
    attentions: layers.map((l) => ({
      ...part(l),
      kind: "attention",
      role: "cross",
      heads: 8,
      keyValueHeads: 8,
      headDim: 64,
    })),
    sublayers: layers.map((l) => ({ ...part(l), kind: "sublayer", role: "cross", width })),
    norms: layers.map((l) => ({ ...part(l), path: `${part(l).path}.norm`, kind: "norm", width, bias: true })),
    blocks: [],
    embeddings: [],
    heads: [],
    stacks: [],
  };
  const params = crossAttention({ start: "random" }).init({
    model: { spec, backend: shapesOnly() } as Model,
    key: 0,
  });
  assert.equal(
    crossAttention().edits(params, spec).reduce(
      (n, edit) =>
        n + (edit.kind === "weight" ? (edit.map.params as { value: { size: number } }).value.size : 0),
      0,
    ),
    6_309_888,
  );
  dispose(params);
  // T5-base has neither biases there nor a norm's: 12 · (4 · 768² + 768).
  assert.equal(counts(t5Base(), crossAttention()).trainable, 12 * (4 * 768 * 768 + 768));
});

Deno.test("far() has 2,836,224 of DistilBERT's 28,334,592 feed-forward parameters at 10 %, 11,331,072 at 40 %", () => {
  const model = bertShape(768, 6, 30_522, false); // DistilBERT's blocks are BERT's
  const layers = feedForwardLayers(model.spec);
  const all = layers.reduce((n, { inFeatures, outFeatures }) => n + outFeatures * (inFeatures + 1), 0);
  assert.equal(all, 28_334_592);
  for (const [retention, expected] of [[0.1, 2_836_224], [0.4, 11_331_072]] as const) {
    const learners = Object.fromEntries(
      layers.map((
        place,
      ) => [place.path, Array.from({ length: learnerCount(place, retention) }, (_, j) => j)]),
    );
    const found = counts(model, far({ learners }));
    assert.deepEqual([found.trainable, found.changed], [expected, expected]);
  }
});

Deno.test("diffPruning() trains 200 % of BERT-large and one gate a tensor, and keeps 1,667,896 at 0.5 %", () => {
  const large = bertLarge();
  const gated = gatedSize(large);
  assert.equal(gated, 333_579_264);
  const tensors = weightLeaves(large.weights).length - 2;
  assert.equal(counts(large, diffPruning()).trainable, 2 * gated + tensors + 2 * 1024 + 2);
  assert.equal(keptCount(gated, 0.005), 1_667_896); // the 1.67 M of 333.6 M
});

Deno.test("ltSft() at 14,155,776 is 7.96 % of mBERT's shape, and stores as many values as indices", () => {
  const mbert = bertShape(768, 12, 119_547, false);
  const size = sizeOf(mbert) + 768 * 768 + 768; // with the pooler
  assert.equal((100 * 14_155_776 / size).toFixed(2), "7.96");
  assert.equal(14_155_776, 12 * 2 * 768 * 768);
  const [path, leaf] = weightLeaves(mbert.weights)[0]!;
  const mask = {
    leaves: [{ path, shape: leaf.shape, indices: Int32Array.from({ length: 1000 }, (_, i) => i) }],
    whole: [],
  };
  const found = counts(mbert, ltSft({ mask }));
  assert.deepEqual([found.trainable, found.changed, found.stored], [1000, 1000, 2000]);
});
