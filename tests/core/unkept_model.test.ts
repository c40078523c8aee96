/**
 * No function frees what it was given: each that takes a model is called twice on one whose weights nothing keeps, with an
 * adapter whose parameters nothing keeps either, and both are read after each call. `keep` takes what has no owner, and
 * `dispose` frees it, so a call that does either to a handle of the caller's weights shows here alone.
 */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  type Batch,
  captureInputs,
  compose,
  copyTree,
  count,
  dequantize,
  dispose,
  forward,
  generate,
  generateIds,
  graft,
  keep,
  leaves,
  loss,
  lossAndGrad,
  matrixAt,
  merge,
  mergeLoss,
  type Method,
  methodCosts,
  type Model,
  perRow,
  quantizationErrors,
  quantize,
  read,
  scope,
  trainableCopy,
  type Tree,
  unmerge,
  weightBytes,
  weightLeaves,
  weightUpdates,
} from "../../core/mod.ts";
import { saveAdapter, saveModel } from "../../io/mod.ts";
import {
  adapterMask,
  combine,
  diffPruning,
  eva,
  fullFineTune,
  houlsby,
  ia3,
  leadingDirections,
  loftq,
  lora,
  loraForm,
  olora,
  onOriginal,
  pissa,
  prefixTuning,
  principalSubspace,
  prunedDiff,
  prunedSide,
  replaceWeight,
  singularSplit,
  toLora,
} from "../../methods/mod.ts";
import { freshModel, replicateLayers, smallConfig, taskConfig } from "../../models/mod.ts";
import {
  fisherMask,
  intrinsicDimension,
  trainDiffPruning,
  trainFar,
  trainLtSft,
  trainStage,
} from "../../recipes/mod.ts";
import { engine } from "../../serve/mod.ts";
import {
  fisher,
  heldOutLoss,
  labelledRows,
  predict,
  rowsFrom,
  samplesOf,
  startTraining,
} from "../../train/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { inFolder } from "../support/folder.ts";
import { tinyGpt2, tinyLlama } from "../support/tiny_models.ts";
import { CREATED, created, namedMethod } from "../support/method_options.ts";

/** What a function is tried on. */
interface Given {
  readonly model: Model;
  /** LoRA that has moved. */
  readonly adapter: Adapter;
}

const BATCH: Batch = { inputIds: [[1, 2, 3, 4, 5]], labels: [[1, 2, 3, 4, 5]] };
const ROWS = rowsFrom([{ inputIds: [1, 2, 3, 4], labels: [-100, -100, 3, 4] }]);
const STAGE = { learningRate: 1e-3, batching: { kind: "buckets", batchSize: 1 }, pad: 0, epochs: 1 } as const;

const CALLS: Readonly<Record<string, (given: Given) => unknown>> = {
  "forward()": ({ model, adapter }) => {
    dispose(forward(model, BATCH).logits);
    dispose(forward(graft(model, adapter), BATCH, { keepCache: true }));
  },
  "loss()": ({ model }) => dispose(loss(model, BATCH)),
  "lossAndGrad()": async ({ model, adapter }) => dispose((await lossAndGrad(model, adapter, BATCH)).grads),
  "lossAndGrad() of all weights": async ({ model }) => {
    const adapter = adapt(model, fullFineTune());
    dispose((await lossAndGrad(model, adapter, BATCH)).grads);
    dispose(adapter.params);
  },
  "generateIds()": ({ model }) => generateIds(model, [1, 2, 3], { maxNewTokens: 3 }),
  "generateIds() under an adapter": ({ model, adapter }) =>
    generateIds(graft(model, adapter), [[1, 2], [3, 4]], { maxNewTokens: 3, sampler: { temperature: 1 } }),
  "generateIds() behind a prefix": async ({ model }) => {
    const { method, params } = adapt(model, prefixTuning({ length: 2, network: "none" }));
    const given = leaves(params).map(([, t]) => t.storage);
    for (let i = 0; i < 2; i++) {
      await generateIds(graft(model, { method, params }), [1, 2, 3], { maxNewTokens: 3 });
      assert.ok(given.every((storage) => !storage.freed), "the prefix's rows are the caller's");
    }
    dispose(params);
  },
  "generate()": ({ model }) => generate(model, "ab", { maxNewTokens: 2 }),
  "merge() and unmerge()": ({ model, adapter }) => {
    const merged = merge(model, adapter);
    unmerge(merged, adapter).dispose();
    merged.dispose();
  },
  "merge() of weights, and lazily": ({ model }) => {
    const adapter = adapt(model, fullFineTune());
    merge(model, adapter).dispose();
    const lazy = merge(model, adapter, { leaves: "lazy" });
    dispose(forward(lazy, BATCH).logits);
    lazy.dispose();
    dispose(adapter.params);
  },
  "mergeLoss()": ({ model, adapter }) => mergeLoss(model, adapter, { dtype: "bf16" }),
  "mergeLoss() in f32": ({ model, adapter }) => mergeLoss(model, adapter),
  "count()": ({ model, adapter }) => count(model, adapter),
  "weightBytes()": ({ model }) => weightBytes(model),
  "quantize()": ({ model }) => quantize(model, { dtype: "int8" }).dispose(),
  "quantize() to the same dtype": ({ model }) => dequantize(model, { dtype: "f32" }).dispose(),
  "quantize() lazily": ({ model }) => {
    const quantized = quantize(model, {
      dtype: "int8",
      targets: [model.spec.linears[0]!.path],
      embeddings: "f16",
      leaves: "lazy",
    });
    dispose(forward(quantized, BATCH).logits);
    quantized.dispose();
  },
  "dequantize()": ({ model }) => {
    const quantized = quantize(model, { dtype: "int8" });
    dequantize(quantized, { dtype: "f32" }).dispose();
    dispose(forward(quantized, BATCH).logits);
    quantized.dispose();
  },
  "quantizationErrors()": ({ model }) => quantizationErrors(model, { dtype: "int8" }),
  "quantizationErrors() of plain numbers": ({ model }) =>
    quantizationErrors(model, { dtype: "int8", embeddings: "f16" }),
  "weightUpdates()": ({ model, adapter }) => {
    const linears = weightUpdates(model, adapter);
    dispose(linears.map((update) => [update.matrix(), update.factors?.()]));
    const whole = adapt(model, fullFineTune());
    const [path] = leaves(whole.params).map(([path]) => path).filter((path) =>
      /(up_proj|c_fc)\.weight$/.test(path)
    );
    const one: Adapter = {
      method: {
        ...whole.method,
        edits: (params, spec) => whole.method.edits(params, spec).filter((e) => e.path === path),
      },
      params: whole.params,
    };
    dispose(weightUpdates(model, one).map((update) => update.matrix()));
    dispose(whole.params);
  },
  "captureInputs()": ({ model }) => captureInputs(model, BATCH, [model.spec.linears[0]!.path], () => {}),
  "methodCosts()": ({ model }) => methodCosts(model, lora({ rank: 2 }), { tokens: 4 }),
  "matrixAt() in a scope": ({ model }) => scope(() => void matrixAt(model, model.spec.linears[0]!)),
  "trainableCopy()": ({ model }) => dispose(trainableCopy(model, weightLeaves(model.weights)[0]![0])),
  "replaceWeight()": ({ model }) => {
    const [path, leaf] = weightLeaves(model.weights)[0]!;
    replaceWeight(model.spec, path, leaf);
  },
  "replicateLayers()": ({ model }) => replicateLayers(model, [[0, 2], [1, 2]]).dispose(),
  "perRow()": ({ model, adapter }) =>
    dispose(forward(graft(model, perRow({ a: adapter, b: adapter })), { ...BATCH, rows: ["a"] }).logits),
  "heldOutLoss()": ({ model, adapter }) => heldOutLoss(graft(model, adapter), ROWS, { batchSize: 1, pad: 0 }),
  "fisher()": async ({ model }) => (await fisher(model, [BATCH])).dispose(),
  "fisher() of some weights": async ({ model }) =>
    (await fisher(model, [BATCH], { parameters: (path) => /norm|ln_f/.test(path) })).dispose(),
  "fisher() of expected labels": async ({ model }) => {
    const one = { inputIds: [[1, 2, 3]], labels: [[-100, -100, 3]] };
    (await fisher(model, [one], { labels: "expected" })).dispose();
  },
  "fisher() that stops at an error": ({ model }) => assert.rejects(fisher(model, [])),
  "fisherMask()": ({ model }) => fisherMask(model, [BATCH], { ratio: 0.01 }),
  "startTraining()": async ({ model, adapter }) => {
    const run = await startTraining(model, adapter, ROWS, { ...STAGE, epochs: 2 });
    while (await run.next() !== undefined);
    run.dispose();
  },
  "startTraining() of all weights": async ({ model }) => {
    const start = adapt(model, fullFineTune());
    const run = await startTraining(model, start, ROWS, STAGE);
    while (await run.next() !== undefined);
    run.dispose();
    dispose(start.params);
  },
  "trainStage()": async ({ model, adapter }) => {
    const start = { ...adapter, params: copyTree(adapter.params) }; // a stage takes its start over
    dispose((await trainStage(model, start, ROWS, STAGE)).params);
  },
  "samplesOf()": ({ model }) => samplesOf(model, ROWS, ["c"], { maxNewTokens: 2 }),
  "engine()": async ({ model, adapter }) => {
    const writer = engine(model, { adapters: { a: adapter, b: adapter }, rows: 3, queue: 3 });
    const job = { prompt: [1, 2], maxTokens: 3, seed: 0, stop: [] };
    await Promise.all([null, "a", "b"].map((name) => writer.submit({ ...job, adapter: name }).written));
    await writer.submit({ ...job, adapter: "a" }).written;
    await writer.close();
  },
  "engine() of adapters with passes of their own": async ({ model }) => {
    const prefix = adapt(model, prefixTuning({ length: 2, network: "none" }));
    const writer = engine(model, { adapters: { prefix }, rows: 2, queue: 2 });
    await writer.submit({ prompt: [1, 2], adapter: "prefix", maxTokens: 3, seed: 0, stop: [] }).written;
    await writer.submit({ prompt: [1, 2], adapter: "prefix", maxTokens: 3, seed: 0, stop: [] }).written;
    await writer.close();
    dispose(prefix.params);
  },
  "eva()": async ({ model }) => dispose((await eva(model, [BATCH], { rank: 1 })).adapter.params),
  "leadingDirections()": async ({ model }) => dispose(await leadingDirections(model, { rank: 2 })),
  "principalSubspace()": async ({ model }) => dispose(await principalSubspace(model, { rank: 2 })),
  "principalSubspace(), exactly": async ({ model }) =>
    dispose(await principalSubspace(model, { rank: 2, svd: "exact" })),
  "singularSplit()": async ({ model }) => dispose(await singularSplit(model, { preserved: 2 })),
  "pissa()": async ({ model }) => (await pissa(model, { rank: 2 })).dispose(),
  "pissa(), exactly": async ({ model }) => (await pissa(model, { rank: 2, svd: "exact" })).dispose(),
  "olora()": async ({ model }) => (await olora(model, { rank: 2 })).dispose(),
  "loftq()": async ({ model }) => (await loftq(model, { rank: 2, dtype: "int8" })).dispose(),
  "onOriginal()": async ({ model }) => {
    const prepared = await pissa(model, { rank: 2 });
    dispose((await onOriginal(model, prepared)).adapter.params);
    prepared.dispose();
  },
  "toLora()": async ({ model, adapter }) => {
    dispose((await toLora(model, adapter, { rank: 1 })).adapter.params);
    const scales = adapt(model, ia3());
    await toLora(model, scales, { error: 0.5 }).then(({ adapter }) => dispose(adapter.params), () => {});
    dispose(scales.params);
  },
  "loraForm()": async ({ model, adapter }) => (await loraForm(model, adapter)).dispose(),
  "loraForm() of a composition": async ({ model, adapter }) => {
    const both = {
      method: compose({ a: adapter.method }) as unknown as Method,
      params: { a: adapter.params },
    };
    (await loraForm(model, both)).dispose();
  },
  "combine()": async ({ model, adapter }) => {
    for (
      const how of [
        undefined,
        { method: "svd", limit: { rank: 2 } },
        { method: "ties", density: 1, limit: { rank: 2 } },
        { method: "magnitudePrune", density: 1, limit: { rank: 2 } },
      ] as const
    ) {
      dispose((await combine(model, [adapter, adapter], [0.5, 0.5], how)).adapter.params);
    }
    dispose((await combine(model, [adapter], [1])).adapter.params);
  },
  "adapterMask()": async ({ model }) => {
    const adapter = adapt(model, houlsby({ reduction: 4, deviation: 0.1 }));
    for (
      const score of ["random", "magnitude", "snip", "grasp", "gradient", "synflow", "erdosRenyi"] as const
    ) {
      dispose(await adapterMask(model, adapter, { keep: 0.5, score, batches: [BATCH] }));
      for (const [, t] of leaves(adapter.params)) await read(t);
    }
    dispose(adapter.params);
  },
  "prunedDiff()": async ({ model }) => {
    const adapter = adapt(model, diffPruning());
    for (let i = 0; i < 2; i++) dispose((await prunedDiff(model, adapter, { ratio: 0.1 })).params);
    dispose(adapter.params);
  },
  "prunedSide()": async ({ model }) => dispose(await prunedSide(model, { reduction: 2 })),
  "prunedSide() by importance": async ({ model }) => {
    const importance = await fisher(model, [BATCH]);
    dispose(await prunedSide(model, { reduction: 2, importance: importance.diagonal }));
    importance.dispose();
  },
  "trainFar()": async ({ model }) =>
    dispose((await trainFar(model, ROWS, { retention: 0.5, priming: STAGE, learning: STAGE })).params),
  "trainLtSft()": async ({ model }) =>
    dispose(
      (await trainLtSft(model, ROWS, { elements: 8, iterations: 2, full: STAGE, sparse: STAGE })).params,
    ),
  "trainDiffPruning()": async ({ model }) =>
    dispose((await trainDiffPruning(model, ROWS, { ratio: 0.1, gated: STAGE, fixed: STAGE })).params),
  "intrinsicDimension()": ({ model }) =>
    intrinsicDimension(model, {
      train: ROWS,
      score: async (m) => Math.exp(-(await heldOutLoss(m, ROWS, { batchSize: 1, pad: 0 })).loss),
      full: { ...STAGE, epochs: 20, learningRate: 0.05 },
      subspace: () => ({ ...STAGE, epochs: 2 }),
    }, { share: 0.5, dimensions: [40], seeds: [0], refinements: 0 }),
  "saveModel()": ({ model }) => inFolder((folder) => saveModel(folder, model)),
  "saveModel() in f16": ({ model }) =>
    inFolder((folder) => saveModel(folder, model, { dtype: "f16" } as never)),
  "saveAdapter()": ({ model, adapter }) =>
    inFolder(async (folder) => {
      for (const format of ["peft", "graft", "adapters"] as const) {
        await saveAdapter(`${folder}/${format}`, adapter, model, { format }).catch((error) =>
          assert.match(error.message, /^Cannot (save|load|write)/)
        );
      }
      await saveAdapter(`${folder}/cut`, adapter, model, { format: "peft", lora: { rank: 1 } });
    }),
};

Deno.test("predict(), fisher() and merge() free nothing of a classifier that nothing keeps", async () => {
  const config = taskConfig(smallConfig("bert"), { kind: "classify", names: ["bad", "good"] });
  const model = unkept(() => freshModel(config, { backend: reference(), key: 0 }));
  const batch: Batch = { inputIds: [[1, 2, 3]], labels: [1] };
  const held = weightLeaves(model.weights);
  const tokenizer = {
    encode: (text: string) => [...text].map((letter) => letter.charCodeAt(0) % 32),
    wrap: (ids: readonly number[]) => ({ ids, typeIds: ids.map(() => 0) }),
  };
  const names = ["bad", "good"];
  const rows = labelledRows([{ kind: "class", text: "fine", label: "good" }], tokenizer, {
    maxLength: 8,
    names,
  });
  for (let i = 0; i < 2; i++) {
    await predict(model, rows, { batchSize: 1, pad: 0 });
    await heldOutLoss(model, rows, { batchSize: 1, pad: 0 });
    for (const labels of ["empirical", "expected"] as const) {
      (await fisher(model, [batch], { labels })).dispose();
    }
    const adapter = adapt(model, lora({ rank: 2 }));
    merge(model, adapter).dispose();
    dispose(adapter.params);
    assert.ok(held.every(([, t]) => !t.storage.freed));
  }
  dispose(held.map(([, t]) => t));
});

/** A model of a checkpoint's weights that nothing keeps. */
function unkept(tiny: (backend: Model["backend"], key: number) => Model): Model {
  const made = tiny(reference(), 1);
  const weights = copyTree(made.weights as unknown as Tree) as unknown as Model["weights"];
  const tokenizer = {
    encode: (text: string) => [...text].map(() => 1),
    decode: (ids: readonly number[]) => ids.join(),
  };
  made.dispose();
  return { ...made, weights, tokenizer, dispose: () => {} };
}

for (const definition of CREATED) {
  const { name } = definition;
  if (name === "cross-attention") continue; // of models with an encoder
  Deno.test(`${name}: parameters of an unkept model are the caller's, to free`, async () => {
    const model = unkept(name.startsWith("fused") ? tinyGpt2 : tinyLlama);
    const held = weightLeaves(model.weights);
    const numbers = await Promise.all(held.map(([, t]) => read(t)));
    const method = name === "only"
      ? namedMethod(name, { parameters: ["norm.weight"] })
      : created(definition, model.spec);
    for (const turn of ["first", "second"]) {
      const adapter = adapt(model, method, 1);
      dispose(forward(graft(model, adapter), BATCH).logits);
      dispose((await lossAndGrad(model, adapter, BATCH)).grads);
      const finalized = method.finalize?.(adapter.params, model.spec);
      dispose([adapter.params, finalized?.params]);
      for (const [i, [path, t]] of held.entries()) {
        assert.ok(!t.storage.freed, `the ${turn} adapter freed ${path}`);
        assert.deepEqual(await read(t), numbers[i], path);
      }
    }
    dispose(held.map(([, t]) => t));
  });
}

for (const [family, tiny] of [["a Llama", tinyLlama], ["a GPT-2", tinyGpt2]] as const) {
  for (const [name, call] of Object.entries(CALLS)) {
    Deno.test(`${name} frees nothing of ${family} that nothing keeps`, async () => {
      const model = unkept(tiny);
      const adapter = adapt(model, lora({ rank: 2, initialization: "none" }), 1);
      const held = [...weightLeaves(model.weights), ...leaves(adapter.params)];
      const numbers = await Promise.all(held.map(([, t]) => read(t)));
      for (const turn of ["first", "second"]) {
        await call({ model, adapter });
        for (const [i, [path, t]] of held.entries()) {
          assert.ok(!t.storage.freed, `the ${turn} call freed ${path}`);
          assert.deepEqual(await read(t), numbers[i], path);
        }
      }
      // Nobody owns them still: who does not keep them may free them.
      const root = keep(held.map(([, t]) => t));
      root.dispose();
      assert.ok(held.every(([, t]) => t.storage.freed), "no root holds on to what it was lent");
    });
  }
}
