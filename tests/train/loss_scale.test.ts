/** Loss scaling: the scales of torch, the steps of a run without it, and what happens when gradients overflow. */
import assert from "node:assert/strict";
import {
  adapt,
  bytesOf,
  copyTree,
  dispose,
  leaves,
  lossAndGradients,
  mapTree,
  memory,
  read,
  scope,
  type Synchronous,
  type Tree,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora } from "../../methods/mod.ts";
import { multiply } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import {
  firstLossScale,
  type GradientFunction,
  type LossScale,
  type LossScaleOptions,
  nextLossScale,
  rowsFrom,
  type SlotBytes,
  startTraining,
  type StepReport,
  type TrainOptions,
} from "../../train/mod.ts";
import { GOLDEN } from "../support/golden.ts";

interface Case {
  readonly options: LossScaleOptions;
  readonly finite: readonly boolean[];
  readonly scales: readonly number[];
  readonly taken: readonly boolean[];
}

Deno.test("nextLossScale() moves as torch.amp.GradScaler", () => {
  const { cases } = JSON.parse(Deno.readTextFileSync(`${GOLDEN}loss_scale.json`)) as { cases: Case[] };
  for (const { options, finite, scales, taken } of cases) {
    let state: LossScale = firstLossScale(options);
    finite.forEach((good, i) => {
      const next = nextLossScale(state, good, options);
      assert.equal(next.scale, scales[i], `step ${i}`);
      assert.equal(next.skipped === state.skipped, taken[i], `step ${i}`);
      state = next;
    });
  }
});

Deno.test("a loss scale stays within f32, and refuses options that make no sense", () => {
  const most = { initial: 2 ** 127, interval: 1 };
  assert.equal(nextLossScale(firstLossScale(most), true, most).scale, 2 ** 127);
  assert.throws(() => firstLossScale({ initial: 0 }), /initial to be a finite number above 0 but found 0/);
  assert.throws(() => firstLossScale({ growth: 0.5 }), /growth to be at least 1 but found 0.5/);
  assert.throws(() => firstLossScale({ backoff: 1 }), /backoff to be between 0 and 1 but found 1/);
  assert.throws(
    () => firstLossScale({ interval: 1.5 }),
    /interval to be a whole number above 0 but found 1.5/,
  );
});

const backend = reference();
const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
const rows = rowsFrom(
  Array.from({ length: 6 }, (_, i) => {
    const inputIds = Array.from({ length: 4 }, (_, t) => (3 * i + 5 * t) % 37);
    return { inputIds, labels: inputIds };
  }),
);
const method = lora({ rank: 2 });
const options: TrainOptions = {
  learningRate: 0.02,
  batching: { kind: "buckets", batchSize: 2 },
  epochs: 3,
  clip: 1,
  seed: 5,
  pad: 0,
};

/** Gradients as from a card whose numbers end at `most` times those of an unscaled loss. */
const overflowing = (most: number): GradientFunction => (model, adapter, batch, options) => {
  const { value, gradients } = lossAndGradients(model, adapter, batch, options);
  if ((options.lossScale ?? 1) <= most) return { value, gradients };
  const infinite = scope((): Synchronous<Tree> => mapTree(gradients, (g) => multiply(g, Infinity)));
  dispose(gradients);
  return { value, gradients: infinite };
};

async function hashOf(params: Tree): Promise<string> {
  const parts: string[] = [];
  for (const [path, t] of leaves(params)) parts.push(path, (await bytesOf(t)).toString());
  return parts.join("|");
}

/** Steps of a run, and its parameters after each. */
async function steps(
  extra: Partial<TrainOptions>,
): Promise<{ readonly reports: readonly StepReport[]; readonly hashes: readonly string[] }> {
  const adapter = adapt(model, method, 1);
  const run = await startTraining(model, adapter, rows, { ...options, ...extra });
  const reports: StepReport[] = [];
  const hashes = [await hashOf(run.adapter().params)];
  for (let report = await run.next(); report; report = await run.next()) {
    reports.push(report);
    hashes.push(await hashOf(run.adapter().params));
  }
  run.dispose();
  dispose(adapter.params);
  return { reports, hashes };
}

Deno.test("startTraining() with a scaled loss takes the same steps, bit for bit, where nothing overflows", async () => {
  const before = memory().live;
  const plain = await steps({});
  const scaled = await steps({ lossScale: { interval: 4 } });
  assert.deepEqual(scaled.hashes, plain.hashes);
  assert.deepEqual(scaled.reports.map(({ lossScale: _, ...rest }) => rest), plain.reports);
  assert.deepEqual(scaled.reports.map(({ lossScale }) => lossScale! / 65536), [1, 1, 1, 1, 2, 2, 2, 2, 4]);
  assert.equal(memory().live, before);
});

Deno.test("startTraining() skips steps whose gradients overflow, and the optimizer does not count them", async () => {
  const extra = { lossScale: { initial: 8192 }, gradients: overflowing(2048) };
  const { reports, hashes } = await steps({ ...extra, maxSteps: 4 });
  assert.deepEqual(reports.map(({ skipped }) => skipped ?? false), [true, true, false, false]);
  assert.deepEqual(reports.map(({ lossScale }) => lossScale), [8192, 4096, 2048, 2048]);
  assert.deepEqual(reports.map(({ step }) => step), [1, 2, 3, 4]);
  assert.equal(hashes[2], hashes[0]);
  assert.notEqual(hashes[3], hashes[2]);

  // AdamW's first step moves every number with a gradient by the learning rate: it is corrected for t = 1.
  const adapter = adapt(model, method, 1);
  const run = await startTraining(model, adapter, rows, { ...options, ...extra, clip: 1e9 });
  const old = copyTree(run.adapter().params);
  for (let i = 0; i < 3; i++) await run.next();
  let most = 0;
  for (const [i, [, t]] of leaves(run.adapter().params).entries()) {
    const before = await read(leaves(old)[i]![1]);
    (await read(t)).forEach((x, j) => most = Math.max(most, Math.abs(x - before[j]!)));
  }
  assert.ok(Math.abs(most - options.learningRate) < 1e-6, String(most));
  run.dispose();
  dispose([old, adapter.params]);
});

Deno.test("startTraining() continues a scaled run bit for bit from a snapshot", async () => {
  const extra = { lossScale: { initial: 8192, interval: 3 }, gradients: overflowing(4096) };
  const whole = await steps(extra);
  const adapter = adapt(model, method, 1);
  const first = await startTraining(model, adapter, rows, { ...options, ...extra });
  for (let i = 0; i < 3; i++) await first.next();
  const { step, params, slots, state } = first.snapshot();
  const saved = new Map<string, SlotBytes>();
  for await (const [slot, value] of slots) saved.set(slot, { ...value, bytes: value.bytes.slice() });
  const resume = { step, params: copyTree(params), slots: saved, state: copyTree(state!) };
  first.dispose();
  const second = await startTraining(model, adapter, rows, { ...options, ...extra }, resume);
  const scales: number[] = [];
  for (let report = await second.next(); report; report = await second.next()) scales.push(report.lossScale!);
  assert.deepEqual(scales, whole.reports.slice(3).map(({ lossScale }) => lossScale));
  assert.equal(await hashOf(second.adapter().params), whole.hashes.at(-1));
  second.dispose();
  dispose(adapter.params);
});

Deno.test("startTraining() stops where gradients are not finite at any scale", async () => {
  await assert.rejects(
    steps({ lossScale: { initial: 4 }, gradients: overflowing(0) }),
    /The loss of step 3 is .* and its gradient's norm NaN|Infinity: lower the learning rate/,
  );
});
