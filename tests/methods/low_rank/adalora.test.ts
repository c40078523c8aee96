/** AdaLoRA: the laws, PEFT's numbers, PEFT's whole budget, resuming in the middle of it, and its count. */
import assert from "node:assert/strict";
import {
  adapt,
  chooseTargets,
  dispose,
  keep,
  leaves,
  lookup,
  lossAndGrad,
  memory,
  type Model,
  read,
  sizesOf,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { adalora, type AdaloraOptions, budgetAt } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import {
  adamw,
  resident,
  type Resume,
  rowsFrom,
  type SlotBytes,
  startTraining,
  type TrainOptions,
} from "../../../train/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../../support/backends.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { assertGoldenLife } from "../../support/golden_life.ts";
import { goldenBase, goldenBatch, goldenParams } from "../../support/golden_method.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { publishedCount, trainableOf } from "../../support/published_counts.ts";
import { BERT_BASE } from "../../support/published_shapes.ts";

const PEFT: AdaloraOptions = {
  rank: 4,
  targetRank: 2,
  alpha: 5,
  orthogonality: 0.3,
  beta1: 0.7,
  beta2: 0.6,
  targets: ["q_proj", "v_proj", "down_proj"],
};

methodLaws("adalora()", {
  method: () => ({ method: adalora({ rank: 3, targets: "all-linear", dropout: 0.2 }) }),
  atInit: "base",
  merges: "and unmerges",
  counts: ({ spec }: Model) => {
    const n = chooseTargets(spec, { targets: "all-linear" }).map(sizesOf)
      .reduce((sum, { inFeatures, outFeatures }) => sum + 3 * (inFeatures + outFeatures + 1), 0);
    return { added: n, trainable: n };
  },
});

for (const name of ALL_BACKENDS) {
  Deno.test(`adalora() lives as PEFT's does (${name})`, () =>
    withBackend(name, async (backend) => {
      const model = await goldenBase(backend);
      const fresh = adapt(model, adalora(PEFT));
      await assertGoldenLife("adalora", model, fresh, backend, { init: Infinity });
      dispose(fresh.params);
      model.dispose();
    }));

  Deno.test(`adalora() spends its budget step by step as PEFT does (${name})`, () =>
    withBackend(name, async (backend) => {
      const model = await goldenBase(backend);
      const expected = goldenNumbers("prepared_lora/adalora_budget.safetensors");
      const method = adalora({ ...PEFT, initialSteps: 1, finalSteps: 2, interval: 2 });
      const held = goldenParams("adalora_budget", backend);
      const moments = resident(adamw(), held.tree);
      const params = keep<Tree>(held.tree);
      const state = keep<Tree>({});
      for (let step = 1; step <= 9; step++) {
        const { loss, grads } = await lossAndGrad(model, { method, params: params.tree }, goldenBatch());
        assertClose([loss], expected.get(`loss.${step}`)!, 1e-4, `loss of step ${step}`);
        params.replace(await moments.apply(params.tree, grads, { learningRate: 0.01, step }));
        const given = { params: params.tree, gradients: grads, state: state.tree, step, totalSteps: 9 };
        const adjusted = await method.adjust!(given);
        params.replace(adjusted.params);
        state.replace(adjusted.state);
        dispose(grads);
        for (const [path, t] of leaves(params.tree).filter(([path]) => path.endsWith(".e"))) {
          const [found, wanted] = [await read(t), expected.get(`e.${step}.${path}`)!];
          assert.deepEqual(
            [...found].map((x) => x === 0),
            [...wanted].map((x) => x === 0),
            `${path}, ${step}`,
          );
          assertClose([...found, 0.01], [...wanted, 0.01], 1e-3, `${path} after step ${step}`);
        }
        if (step === 6) {
          const averages = leaves(state.tree);
          assert.equal(averages.length, 2 * leaves(params.tree).length);
          // 5e-3: quotients of small gradients have moved the parameters apart by 1e-3.
          for (const [path, t] of averages) assertClose(await read(t), expected.get(path)!, 5e-3, path);
        }
        const budget = budgetAt(step, 9, 24, 12, { initialSteps: 1, finalSteps: 2, interval: 2 });
        const [triplets, masks] = expected.get(`budget.${step}`)!;
        assert.equal(budget.triplets, triplets);
        // The last choice is forced, which PEFT's schedule does not say.
        if (step !== 7) assert.equal(budget.masks, masks === 1);
      }
      assert.deepEqual(Object.keys(state.tree), ["kept"]);
      params.dispose();
      state.dispose();
      moments.dispose();
      held.dispose();
      model.dispose();
      assert.equal(memory(backend).live, 0);
    }));
}

Deno.test("adalora() trained by the loop ends at its budget, and goes on bit for bit from a snapshot", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  const { inputIds, labels } = goldenBatch();
  const rows = rowsFrom(
    inputIds.map((row, n) => ({ inputIds: row, labels: labels![n] as readonly number[] })),
  );
  const options: TrainOptions = {
    learningRate: 0.01,
    batching: { kind: "buckets", batchSize: 1 },
    epochs: 4,
    pad: 0,
  };
  const method = adalora({ ...PEFT, finalSteps: 2 });
  const adapter = adapt(model, method);
  const start = (resume?: Resume) => startTraining(model, adapter, rows, options, resume);
  const whole = await start();
  while (await whole.next());
  const count = async (params: Tree): Promise<number> => {
    let n = 0;
    for (const [path, t] of leaves(params)) {
      if (path.endsWith(".e")) n += (await read(t)).filter((x) => x !== 0).length;
    }
    return n;
  };
  assert.equal(whole.totalSteps, 8);
  assert.equal(await count(whole.adapter().params), 12);
  for (const stop of [3, 7]) {
    const first = await start();
    for (let i = 0; i < stop; i++) await first.next();
    const { step, params, slots, state } = first.snapshot();
    const saved = new Map<string, SlotBytes>();
    for await (const [slot, value] of slots) saved.set(slot, value);
    const second = await start({ step, params, slots: saved, state: state! });
    while (await second.next());
    for (const [path, t] of leaves(whole.adapter().params)) {
      assert.deepEqual(await read(lookup(second.adapter().params, path) as Tensor), await read(t), path);
    }
    second.dispose();
    first.dispose();
  }
  whole.dispose();
  dispose(adapter.params);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});

Deno.test("adalora() names options that cannot be", () => {
  assert.throws(() => adalora({ rank: 4, targetRank: 5 }), /targetRank to be at most the rank 4 but found 5/);
  assert.throws(() => adalora({ beta1: 1 }), /beta1 between 0 and 1 but found 1/);
  assert.throws(
    () => adalora({ totalSteps: 5, initialSteps: 3, finalSteps: 2 }),
    /leave some of the 5 steps/,
  );
  assert.throws(() => adalora({ interval: 0 }), /option "interval" to be a positive integer but found 0$/);
  assert.throws(
    () => adalora({ orthogonality: -1 }),
    /option "orthogonality" to be a number of at least 0 but found -1$/,
  );
});

publishedCount(
  "adalora() has 1,991,520 numbers at rank 12 on every layer of BERT-base, whose shapes DeBERTa-v3-base's have",
  () => assert.equal(trainableOf(BERT_BASE, adalora({ rank: 12, targets: "all-linear" })), 1_991_520),
);
