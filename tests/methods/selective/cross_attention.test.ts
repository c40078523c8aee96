/** crossAttention(): the laws of methods, golden cases, counts that papers print, training and what is refused. */
import assert from "node:assert/strict";
import { adapt, dispose, leaves, type LinearPlace, type Model, read, type Spec } from "../../../core/mod.ts";
import { crossAttention } from "../../../methods/mod.ts";
import { shapesOnly } from "../../../ops/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { misfits } from "../../support/bad_options.ts";
import { changedOnly, elements, just } from "../../support/law_counts.ts";
import { assertTrains } from "../../support/lowers_loss.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { trainableOf } from "../../support/published_counts.ts";
import { t5Of } from "../../support/published_shapes.ts";
import { encoderBatch, loadEncoder, selectiveGolden } from "../../support/selective_golden.ts";
import { tinyT5 } from "../../support/tiny_models.ts";

/** An encoder and a decoder. A cache holds the decoder's tokens only, which the law of caches does not know. */
const T5 = { models: [tinyT5], looksAhead: true } as const;
methodLaws("crossAttention() on T5", {
  ...T5,
  method: just(crossAttention()),
  atInit: "base",
  merges: "only",
  counts: (model) => changedOnly(elements(model, /EncDecAttention|decoder\.block\.\d\.layer\.1\.layer_norm/)),
});
methodLaws("crossAttention() on T5, anew and with embeddings", {
  ...T5,
  method: just(crossAttention({ start: "random", embeddings: "trained" })),
  atInit: "other",
  merges: "only",
  counts: (model) =>
    changedOnly(elements(model, /EncDecAttention|decoder\.block\.\d\.layer\.1\.layer_norm|^shared\./)),
});

Deno.test("crossAttention() may start anew, as Glorot with norms of one", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const t5 = await loadEncoder("t5", backend);
      const { params } = adapt(t5, crossAttention({ start: "random" }));
      for (const [path, t] of leaves(params)) {
        const numbers = await read(t);
        if (path.includes("layer_norm")) assert.ok(numbers.every((x) => x === 1));
        else {
          const [n, m] = t.shape as [number, number];
          const bound = Math.sqrt(6 / (n + m)) / (path.includes(".o.") ? 1 : Math.SQRT2);
          assert.ok(numbers.every((x) => Math.abs(x) <= bound));
          assert.ok(Math.max(...numbers.map(Math.abs)) > 0.9 * bound, path);
        }
      }
      dispose(params);
      t5.dispose();
    })));

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
  assert.equal(trainableOf(t5Of(768, 12, 12, 3072, "1.0"), crossAttention()), 12 * (4 * 768 * 768 + 768));
});

selectiveGolden("cross_t5", "t5", crossAttention());
misfits("crossAttention()", [
  [
    () => crossAttention(),
    /^Cannot place cross-attention on llama: it has no attention from a decoder to an encoder$/,
  ],
]);
Deno.test("crossAttention() lowers the loss in twelve steps", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = await loadEncoder("t5", backend);
      await assertTrains(model, crossAttention(), encoderBatch("t5"));
      model.dispose();
    })));
