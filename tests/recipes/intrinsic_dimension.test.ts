/** The search against a law of thresholds; a run of it against the same training put together by hand. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { adapt, dispose, graft, type Model, weightLeaves } from "../../core/mod.ts";
import { fullFineTune, intrinsicSaid } from "../../methods/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import {
  intrinsicDimension,
  type IntrinsicRun,
  type IntrinsicTask,
} from "../../recipes/intrinsic_dimension.ts";
import { type StageOptions, trainStage } from "../../recipes/stage.ts";
import { heldOutLoss, rowsFrom } from "../../train/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { tinyLlama } from "../support/tiny_models.ts";

const stage: StageOptions = {
  learningRate: 0.02,
  batching: { kind: "buckets", batchSize: 2 },
  epochs: 3,
  pad: 0,
};
const rows = rowsFrom([[1, 2, 3, 4, 5], [5, 4, 3, 2], [7, 8, 7, 8, 7], [1, 3, 5]].map((ids) => ({
  inputIds: ids,
  labels: ids,
})));
const likelihood = async (model: Model): Promise<number> =>
  Math.exp(-(await heldOutLoss(model, rows, { batchSize: 2, pad: 0 })).loss);
const task: IntrinsicTask = {
  train: rows,
  score: likelihood,
  full: stage,
  subspace: (d) => ({ ...stage, learningRate: d < 100 ? 0.2 : 0.1 }),
};

/** Nothing trains: every run is known. Scores reach 1 from a threshold on. */
function knownRuns(least: number, dimensions: readonly number[], seeds: readonly number[]): IntrinsicRun[] {
  return seeds.flatMap((seed) => [
    { seed, score: 1 },
    ...dimensions.map((dimension) => ({ dimension, seed, score: dimension >= least ? 0.95 : 0.5 })),
  ]);
}

Deno.test("intrinsicDimension() brackets the least dimension that reaches the target", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const model = tinyLlama(backend, 1);
    const all = Array.from({ length: 300 }, (_, i) => i + 1);
    const still: IntrinsicTask = { ...task, score: () => 0.4 };
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 256 }),
        fc.integer({ min: 0, max: 10 }),
        async (least, n) => {
          const found = await intrinsicDimension(model, still, {
            dimensions: [1, 2, 4, 8, 16, 32, 64, 128, 256],
            refinements: n,
            seeds: [3, 9],
            known: knownRuns(least, all, [3, 9]),
            measured: () => assert.fail("a known run was made again"),
          });
          assert.equal(found.target, 0.9);
          assert.equal(found.untrained, 0.4);
          assert.deepEqual(found.full.scores, [1, 1]);
          const tried = found.curve.map(({ dimension }) => dimension);
          assert.deepEqual(tried, [...new Set(tried)].sort((a, b) => a - b));
          const d = found.dimension!;
          assert(d >= least, `${d} reaches the target from ${least} on`);
          const below = Math.max(0, ...tried.filter((t) => t < d));
          assert(below < least, `${below} does not reach it`);
          // Each halving takes the root of the ratio, until no whole number lies between.
          assert(d <= below + 1 || d / below <= 2 ** (1 / 2 ** n) * (1 + 1 / below) || below === 0);
          for (const { dimension, mean } of found.curve) assert.equal(mean, dimension >= least ? 0.95 : 0.5);
        },
      ),
    );
    model.dispose();
  }));

Deno.test("intrinsicDimension() names no dimension when none reaches the target", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const dimensions = [2, 4];
    const found = await intrinsicDimension(model, { ...task, score: () => 0 }, {
      dimensions,
      seeds: [0],
      known: knownRuns(100, dimensions, [0]),
    });
    assert.equal(found.dimension, undefined);
    assert.deepEqual(found.curve.map(({ dimension }) => dimension), dimensions);
    model.dispose();
  }));

Deno.test("intrinsicDimension() trains as one would by hand, with a projection a seed, and leaves the model alone", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 2);
    const before = weightLeaves(model.weights);
    const runs: IntrinsicRun[] = [];
    const found = await intrinsicDimension(model, task, {
      share: 0.99,
      dimensions: [40, 160],
      seeds: [0, 5],
      refinements: 0,
      measured: (run) => void runs.push(run),
    });
    assert.deepEqual(weightLeaves(model.weights), before);
    assert.equal(found.untrained, await likelihood(model));
    const full = runs.filter((run) => run.dimension === undefined);
    assert.deepEqual(full.map(({ seed }) => seed), [0, 5]);
    assert(full.every(({ score }) => score > found.untrained), "full fine-tuning improves");
    assert.equal(found.target, 0.99 * (full[0]!.score + full[1]!.score) / 2);
    for (const { dimension, seed, score } of runs) {
      const method = dimension === undefined
        ? fullFineTune()
        : intrinsicSaid({ dimension, seed, blocks: "vector" });
      const options = dimension === undefined ? task.full : task.subspace(dimension);
      const trained = await trainStage(model, adapt(model, method, seed), rows, { ...options, seed });
      const expected = await likelihood(graft(model, trained));
      dispose(trained.params);
      assert(Math.abs(score - expected) < 1e-6, `${dimension}, ${seed}: ${score} and ${expected}`);
    }
    const subspace = runs.filter((run) => run.dimension === 40).map(({ score }) => score);
    assert.notEqual(subspace[0], subspace[1]);
    model.dispose();
  }));

Deno.test("intrinsicDimension() tries powers of two from the number of tensors up by default", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1); // 21 tensors: 2 tables, 2 · 9 of blocks, a norm
    const known = (score: (d: number) => number): IntrinsicRun[] => [
      { seed: 0, score: 1 },
      ...Array.from({ length: 12 }, (_, i) => ({ dimension: 2 ** i, seed: 0, score: score(2 ** i) })),
    ];
    const still: IntrinsicTask = { ...task, score: () => 0 };
    const options = { seeds: [0], refinements: 0, known: known(() => 0) };
    const scaled = await intrinsicDimension(model, still, options);
    assert.deepEqual(scaled.curve.map(({ dimension }) => dimension), [32, 64, 128, 256, 512, 1024, 2048]);
    const plain = await intrinsicDimension(model, still, { ...options, scales: "none" });
    assert.equal(plain.curve[0]!.dimension, 1);
    const layered = await intrinsicDimension(model, still, { ...options, scales: "layer" });
    assert.equal(layered.curve[0]!.dimension, 8); // above 4: two blocks, what is before and what behind
    model.dispose();
  }));

Deno.test("intrinsicDimension() refuses a target that needs no training, and options out of range", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const known = [{ seed: 0, score: 0.7 }];
    const start = { known, seeds: [0], dimensions: [4] };
    const still: IntrinsicTask = { ...task, score: () => 0.2 };
    const fails = (own: Partial<IntrinsicTask>, options: object, message: RegExp): Promise<void> =>
      assert.rejects(intrinsicDimension(model, { ...still, ...own }, { ...start, ...options }), message);
    await fails({ majority: 0.684 }, {}, /commonest class alone scores 0\.684, full fine-tuning 0\.700/);
    await fails({ score: () => 0.65 }, {}, /untrained model scores 0\.650.*target of 0\.630/);
    await fails({ score: () => NaN }, {}, /score to be a number from 0 but found NaN/);
    await fails({}, { share: 0 }, /share above 0 and up to 1 but found 0/);
    await fails({}, { share: 90 }, /share above 0 and up to 1 but found 90/);
    await fails({}, { seeds: [] }, /at least one seed/);
    await fails({}, { seeds: [0, 0] }, /seeds to differ but found 0, 0/);
    await fails({}, { dimensions: [] }, /at least one dimension/);
    await fails({}, { dimensions: [8, 4] }, /rising whole dimensions above 0 but found 8, 4/);
    await fails({}, { refinements: -1 }, /refinements to be an integer from 0 but found -1/);
    await fails({}, { dimensions: [21] }, /dimension above the 21 scales/);
    model.dispose();
  }));
