/** Selective methods train, and at the first step that moves which has a gradient there. */
import assert from "node:assert/strict";
import {
  type Backend,
  type Batch,
  dispose,
  graft,
  keep,
  leaves,
  loss,
  lossAndGrad,
  type Method,
  type Model,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
  weightLeaves,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import {
  bitfit,
  crossAttention,
  diffPruning,
  far,
  feedForwardLayers,
  fishMask,
  isGate,
  layerNormTune,
  ltSft,
  type SparseMask,
  topLayers,
} from "../../methods/mod.ts";
import { adamw, resident } from "../../train/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";
import { tinyGpt2 } from "../support/tiny_models.ts";

const TEXT: Batch = {
  inputIds: [[1, 5, 3, 10, 2], [2, 2, 7, 0, 4]],
  labels: [[1, 5, 3, 10, 2], [2, 2, 7, 0, 4]],
};

async function lossOf(model: Model, batch: Batch): Promise<number> {
  const value = scope((): Synchronous<Tensor> => loss(model, batch));
  const [n] = await read(value);
  value.storage.free();
  return n!;
}

/** Twelve steps of AdamW. */
async function trains(model: Model, method: Method, batch: Batch): Promise<void> {
  const params = keep<Tree>(method.init({ model, key: 0 }));
  const moments = resident(adamw(), params.tree);
  const before = await lossOf(graft(model, { method, params: params.tree }), batch);
  const rateOf = method.rates?.({ params: params.tree, spec: model.spec, learningRate: 0.02 });
  for (let step = 1; step <= 12; step++) {
    const { grads } = await lossAndGrad(model, { method, params: params.tree }, batch);
    params.replace(
      await moments.apply(params.tree, grads, { learningRate: 0.02, step, ...rateOf && { rateOf } }),
    );
    dispose(grads);
  }
  const after = await lossOf(graft(model, { method, params: params.tree }), batch);
  assert.ok(after < 0.9 * before, `${method.name}: ${before} became ${after}`);
  moments.dispose();
  params.dispose();
}

/** Every ninth element. */
const ninth = (model: Model): SparseMask => ({
  leaves: weightLeaves(model.weights).map(([path, { shape, size }]) => ({
    path,
    shape,
    indices: Int32Array.from({ length: Math.ceil(size / 9) }, (_, i) => 9 * i),
  })),
  whole: [],
});

const withT5 = async (backend: Backend, f: (model: Model, batch: Batch) => Promise<void>): Promise<void> => {
  const model = await loadModel(`${GOLDEN}encoders/t5`, { backend });
  await f(model, JSON.parse(Deno.readTextFileSync(`${GOLDEN}encoders/t5/case.json`)));
  model.dispose();
};

Deno.test("selective methods lower the loss", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const model = tinyGpt2(backend, 5);
      const learners = Object.fromEntries(
        feedForwardLayers(model.spec).map(({ path }) => [path, [0, 3, 4, 9]]),
      );
      for (
        const method of [
          bitfit(),
          layerNormTune(),
          topLayers(),
          topLayers({ tied: "trained" }),
          fishMask({ mask: ninth(model) }),
          ltSft({ mask: ninth(model), pull: 0.1 }),
          far({ learners }),
          diffPruning({ sparsity: 1e-6 }),
        ]
      ) await trains(model, method, TEXT);
      model.dispose();
      await withT5(backend, (t5, batch) => trains(t5, crossAttention(), batch));
    })));

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

Deno.test("diffPruning() at first moves differences; gates move by their penalty alone", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const model = tinyGpt2(backend, 5);
      const method = diffPruning({ sparsity: 0.01, initialAlpha: 1 });
      const params = method.init({ model, key: 0 });
      const { grads } = await lossAndGrad(model, { method, params }, TEXT);
      const s = 1 / (1 + Math.exp(-1));
      let moved = 0;
      for (const [path, g] of leaves(grads)) {
        const numbers = await read(g);
        if (isGate(path)) {
          for (const x of numbers) assert.ok(Math.abs(x - 0.01 * s * (1 - s)) < 1e-8, path);
        } else moved = Math.max(moved, ...numbers.map(Math.abs));
      }
      assert.ok(moved > 0.01);
      dispose([grads, params]);
      model.dispose();
    })));
