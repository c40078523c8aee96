/** Training with products in f16: the losses of f32 within what f16 rounds, and skipped steps where gradients overflow. */
import assert from "node:assert/strict";
import { adapt, forgetBackend, leaves, memory } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { lora } from "../../methods/mod.ts";
import { gpu, type GpuOptions } from "../../ops/gpu/mod.ts";
import {
  type LossScale,
  rowsFrom,
  startTraining,
  type StepReport,
  type TrainOptions,
} from "../../train/mod.ts";
import { TRAINING_HALF } from "../ops/gpu/tolerances.ts";
import { GOLDEN } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";

const rows = rowsFrom(
  Array.from({ length: 20 }, (_, i) => {
    const inputIds = Array.from({ length: 4 + i % 5 }, (_, t) => (3 * i + 5 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 2 ? -100 : id) };
  }),
);
const method = lora({ rank: 2, targets: "all-linear" });
const options: TrainOptions = {
  learningRate: 0.003, // see TRAINING_HALF
  batching: { kind: "buckets", batchSize: 4 },
  epochs: 10,
  maxSteps: 50,
  clip: 1,
  seed: 5,
  pad: 0,
};

interface Ran {
  readonly reports: readonly StepReport[];
  readonly scale: LossScale | undefined;
  /** Names of kernels. */
  readonly kernels: readonly string[];
}

async function trained(on: GpuOptions, extra: Partial<TrainOptions>): Promise<Ran> {
  const backend = await gpu(on);
  try {
    const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
    const adapter = adapt(model, method, 1);
    const run = await startTraining(model, adapter, rows, { ...options, ...extra });
    const reports: StepReport[] = [];
    for (let report = await run.next(); report; report = await run.next()) reports.push(report);
    const scale = run.lossScale;
    run.dispose();
    for (const [, t] of leaves(adapter.params)) if (!t.storage.freed) t.storage.free();
    model.dispose();
    assert.equal(memory(backend).live, 0, "live bytes left behind");
    return { reports, scale, kernels: [...backend.profile().kernels.keys()] };
  } finally {
    backend.close();
    forgetBackend(backend);
  }
}

gpuTest("fifty steps of LoRA on gpu in f16 with a scaled loss follow f32's losses", async () => {
  const [full, half] = [await trained({}, {}), await trained({ precision: "f16" }, { lossScale: {} })];
  assert.ok(half.kernels.some((name) => name.includes(" half")), String(half.kernels));
  assert.ok(!full.kernels.some((name) => name.includes(" half")), String(full.kernels));
  const losses = ({ reports }: Ran) => reports.map(({ loss }) => loss);
  const [expected, actual] = [losses(full), losses(half)];
  assert.equal(actual.length, 50);
  assert.ok(actual.at(-1)! < 0.95 * actual[0]!, String(actual));
  actual.forEach((loss, i) =>
    assert.ok(
      Math.abs(loss - expected[i]!) <= TRAINING_HALF,
      `step ${i + 1}: ${loss} in f16 and ${expected[i]} in f32`,
    )
  );
  assert.notDeepEqual(actual, expected); // it was f16
  assert.deepEqual(half.scale, { scale: 65536, good: 50, skipped: 0 });
});

gpuTest("gpu in f16 skips steps until the loss' scale fits, and then learns", async () => {
  const lossScale = { initial: 2 ** 40, backoff: 2 ** -6 };
  const { reports, scale } = await trained({ precision: "f16" }, { lossScale, maxSteps: 20 });
  const skipped = reports.filter(({ skipped }) => skipped);
  assert.ok(skipped.length > 0 && skipped.length < 6, `${skipped.length} skipped`);
  skipped.forEach((report, i) => assert.equal(report, reports[i])); // the first ones
  assert.ok(skipped.every(({ gradientNorm }) => !Number.isFinite(gradientNorm)));
  assert.deepEqual(scale, {
    scale: 2 ** (40 - 6 * skipped.length),
    good: 20 - skipped.length,
    skipped: skipped.length,
  });
  assert.ok(reports.at(-1)!.loss < reports[0]!.loss, String(reports.map(({ loss }) => loss)));
});
