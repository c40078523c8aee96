/**
 * `replicateLayers`: what PEFT's replicated models compute is checked with its folders (tests/io/peft/folders.test.ts, cases
 * replicated…); here merging, saving, caching, sharing and refusals.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  count,
  dispose,
  forward,
  graft,
  leaves,
  lookup,
  lora,
  merge,
  type Model,
  quantize,
  read,
  replicateLayers,
  Tensor,
  weightBytes,
} from "../../mod.ts";
import { modelOfAdapter } from "../../io/layer_replication.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { houlsby, ia3 } from "../../methods/mod.ts";
import { architectureOf, freshModel, replicatedRanges, smallConfig } from "../../models/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { inFolder } from "../support/folder.ts";
import { GOLDEN, goldenNumbers } from "../support/golden.ts";

const PEFT = `${GOLDEN}peft_folders/`;
const BATCH = JSON.parse(Deno.readTextFileSync(`${PEFT}batch.json`));

async function logitsOf(model: Model, batch = BATCH): Promise<Float32Array> {
  const { logits } = forward(model, batch);
  const numbers = await read(logits);
  logits.storage.free();
  return numbers;
}

const free = (adapter: Adapter): void => dispose(adapter.params);

async function withCase(name: string, run: (deeper: Model, adapter: Adapter, base: Model) => Promise<void>) {
  await assertNoLeak(async () => {
    const { base: path } = JSON.parse(Deno.readTextFileSync(`${PEFT}${name}/case.json`));
    const base = await loadModel(GOLDEN + path, { backend: reference() });
    const deeper = await modelOfAdapter(PEFT + name, base);
    const adapter = await loadAdapter(PEFT + name, deeper);
    await run(deeper, adapter, base);
    free(adapter);
    base.dispose();
  });
}

for (
  const name of [
    "replicated",
    "replicated_windows",
    "replicated_mistral",
    "replicated_bert",
    "replicated_beside",
  ]
) {
  Deno.test(`saveModel() of a merged model with replicated layers gives PEFT's logits when it is loaded: ${name}`, () =>
    withCase(name, (deeper, adapter) =>
      inFolder(async (folder) => {
        const merged = merge(deeper, adapter);
        assert.equal(replicatedRanges(merged), undefined); // its blocks are its own now
        await saveModel(folder, merged);
        merged.dispose();
        const again = await loadModel(folder, { backend: reference() });
        assert.equal(again.spec.blocks.length, deeper.spec.blocks.length);
        const expected = goldenNumbers(`peft_folders/${name}/expected.safetensors`).get("logits")!;
        assertClose(await logitsOf(again), expected, 1e-5, name);
        again.dispose();
      })));
}

Deno.test("replicateLayers() keeps keys and values of each copy: a text in two parts has the logits of the whole", () =>
  withCase("replicated_windows", async (deeper, adapter) => {
    const model = graft(deeper, adapter);
    const ids = [5, 9, 31, 2, 7, 7, 12];
    const whole = await logitsOf(model, { inputIds: [ids] });
    const first = forward(model, { inputIds: [ids.slice(0, 4)] }, { keepCache: true });
    const second = forward(model, { inputIds: [ids.slice(4)] }, { cache: first.cache! });
    assertClose(await read(second.logits), whole.slice(4 * 41), 1e-5, "logits");
    dispose([first.logits, first.cache, second.logits, second.cache]);
  }));

Deno.test("replicateLayers() shares weights, also when they are quantized, and counts them once", () =>
  assertNoLeak(() => {
    const base = freshModel(smallConfig("llama", { width: 64 }), { backend: reference(), key: 0 });
    const deeper = replicateLayers(base, [[0, 2], [0, 2], [1, 2]]);
    assert.equal(weightBytes(deeper), weightBytes(base));
    const [one, other] = [quantize(base, { dtype: "nf4" }), quantize(deeper, { dtype: "nf4" })];
    assert.equal(weightBytes(other), weightBytes(one));
    one.dispose();
    other.dispose();
    const adapters = [base, deeper].map((model) => adapt(model, lora({ rank: 2 })));
    const [few, many] = [count(base, adapters[0]!), count(deeper, adapters[1]!)];
    assert.deepEqual([many.base, many.trainable], [few.base, 2.5 * few.trainable]);
    dispose(adapters.map(({ params }) => params));
    base.dispose();
  }));

Deno.test("replicateLayers() of a replicated model counts by the first model's layers", () =>
  assertNoLeak(() => {
    const base = freshModel(smallConfig("gpt2", { layers: 3 }), { backend: reference(), key: 0 });
    const deeper = replicateLayers(replicateLayers(base, [[1, 3], [0, 1]]), [[1, 3], [0, 1]]);
    assert.deepEqual(replicatedRanges(deeper), [[2, 3], [0, 2]]);
    const path = (layer: number): string => `transformer.h.${layer}.mlp.c_fc.weight`;
    assert.ok(lookup(base.weights, path(2)) instanceof Tensor);
    assert.equal(lookup(deeper.weights, path(0)), lookup(base.weights, path(2)));
    assert.equal(deeper.config["n_layer"], 3);
    base.dispose();
  }));

Deno.test("replicateLayers() refuses ranges that the model has not, two stacks and grafted adapters", () =>
  assertNoLeak(() => {
    const base = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
    for (const ranges of [[], [[0, 3]], [[1, 1]], [[-1, 1]], [[0, 0.5]], [[1, 0]]]) {
      assert.throws(
        () => replicateLayers(base, ranges as unknown as readonly (readonly [number, number])[]),
        /ranges \[start, end\) of the model's 2 layers/,
      );
    }
    const adapter = adapt(base, lora({ rank: 2 }));
    assert.throws(() => replicateLayers(graft(base, adapter), [[0, 2]]), /grafted at "model\.layers\.0/);
    dispose(adapter.params);
    base.dispose();
    const t5 = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
    assert.throws(() => replicateLayers(t5, [[0, 1]]), /t5: it has 2 stacks/);
    t5.dispose();
  }));

Deno.test("loadAdapter() of replicated layers names the function that makes its model", () =>
  withCase("replicated", async (deeper, _, base) => {
    const wanted =
      /4 layers, layer_replication \[\[0,2\],\[0,2\]\] .* load it for replicateLayers\(base, \[\[0,2\],\[0,2\]\]\)/;
    await assert.rejects(loadAdapter(`${PEFT}replicated`, base), wanted);
    await assert.rejects(
      loadAdapter(`${PEFT}replicated`, replicateLayers(base, [[0, 2], [1, 2], [1, 2]])),
      wanted,
    );
    assert.equal(deeper.spec.blocks.length, 4);
    await inFolder(async (folder) => {
      const config = JSON.parse(Deno.readTextFileSync(`${PEFT}replicated/adapter_config.json`));
      for (const bad of [[[0, 2, 3]], [0, 2], "0-2", [[0, "2"]]]) {
        Deno.writeTextFileSync(
          `${folder}/adapter_config.json`,
          JSON.stringify({ ...config, layer_replication: bad }),
        );
        await assert.rejects(loadAdapter(folder, base), /"layer_replication" .* to be ranges/);
        await assert.rejects(modelOfAdapter(folder, base), /"layer_replication" .* to be ranges/);
      }
      Deno.writeTextFileSync(
        `${folder}/adapter_config.json`,
        JSON.stringify({ ...config, init_lora_weights: "pissa" }),
      );
      Deno.copyFileSync(
        `${PEFT}replicated/adapter_model.safetensors`,
        `${folder}/adapter_model.safetensors`,
      );
      await assert.rejects(loadAdapter(folder, deeper), /"pissa" and layer_replication/);
    });
  }));

Deno.test("saveAdapter() on replicated layers: graft's own form records them, PEFT has them for LoRA without biases", () =>
  assertNoLeak(async () => {
    const base = freshModel(smallConfig("bert"), { backend: reference(), key: 0 });
    const deeper = replicateLayers(base, [[0, 1], [0, 2]]);
    await inFolder(async (folder) => {
      const own = adapt(deeper, houlsby({ reduction: 4 }), 1) as unknown as Adapter;
      await saveAdapter(`${folder}/own`, own, deeper, { format: "graft" });
      await assert.rejects(
        loadAdapter(`${folder}/own`, base),
        /replicateLayers\(base, \[\[0,1\],\[0,2\]\]\)/,
      );
      const again = await loadAdapter(`${folder}/own`, await modelOfAdapter(`${folder}/own`, base));
      assert.deepEqual(leaves(again.params).map(([path]) => path), leaves(own.params).map(([path]) => path));
      free(own);
      free(again);
      for (
        const [method, reason] of [
          [ia3({ targets: ["key"] }), /IA3 on replicated layers for PEFT, which has them for LoRA alone/],
          [lora({ rank: 2, bias: "all" }), /trained biases on replicated layers/],
        ] as const
      ) {
        const adapter = adapt(deeper, method, 1) as unknown as Adapter;
        await assert.rejects(saveAdapter(`${folder}/theirs`, adapter, deeper), reason);
        assert.throws(() => Deno.statSync(`${folder}/theirs`), Deno.errors.NotFound);
        free(adapter);
      }
    });
    base.dispose();
    // Where there are no biases, none trains.
    const bare = freshModel(smallConfig("llama"), { backend: reference(), key: 0 });
    const twice = replicateLayers(bare, [[0, 2], [0, 2]]);
    const adapter = adapt(twice, lora({ rank: 2, bias: "all" }), 1) as Adapter;
    await inFolder((folder) => saveAdapter(folder, adapter, twice));
    free(adapter);
    bare.dispose();
  }));

Deno.test("replicateLayers() writes down which of Qwen2's copies look back through a window", async () => {
  const base = await loadModel(`${GOLDEN}models/qwen2_window`, { backend: reference() });
  const { layer_types: _, ...config } = base.config;
  const deeper = replicateLayers({ ...base, config: config as Model["config"] }, [[0, 2], [0, 1]]);
  // max_window_layers is 1: layer 0 sees all.
  assert.deepEqual(deeper.config["layer_types"], ["full_attention", "sliding_attention", "full_attention"]);
  assert.equal(architectureOf(deeper.config).spec.blocks.length, 3);
  base.dispose();
});

Deno.test("replicateLayers() writes down what SmolLM3's and Gemma 3's copies look like", async () => {
  const fields = async (name: string, ranges: readonly (readonly [number, number])[]) => {
    const model = await loadModel(`${GOLDEN}models/${name}`, { backend: reference() });
    const { config } = replicateLayers(model, ranges);
    model.dispose();
    return config;
  };
  const smol = await fields("smollm3", [[0, 1], [3, 5], [3, 4]]);
  assert.deepEqual(smol["no_rope_layers"], [1, 0, 1, 0]); // the fourth has no positions
  const [full, back] = ["full_attention", "sliding_attention"];
  assert.deepEqual(smol["layer_types"], [full, back, full, back]);
  const gemma = await fields("gemma3_linear_rope", [[4, 6], [0, 2]]);
  assert.deepEqual(gemma["layer_types"], [back, full, back, back]); // the sixth sees all
  assert.equal(gemma["num_hidden_layers"], 4);
});
