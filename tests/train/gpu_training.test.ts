/** Training on the GPU: fifty steps follow the losses of the same run on wasm, one submission each, and leave nothing behind. */
import assert from "node:assert/strict";
import { adapt, type Backend, leaves, memory, type Method } from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { fullFineTune, ia3, lora } from "../../methods/mod.ts";
import type { GpuBackend } from "../../ops/gpu/mod.ts";
import { rowsFrom, startTraining, type TrainOptions } from "../../train/mod.ts";
import { TRAINING } from "../ops/gpu/tolerances.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";
import { gpuTest } from "../support/gpu.ts";

const rows = rowsFrom(
  Array.from({ length: 20 }, (_, i) => {
    const inputIds = Array.from({ length: 4 + i % 5 }, (_, t) => (3 * i + 5 * t) % 37);
    return { inputIds, labels: inputIds.map((id, t) => t < 2 ? -100 : id) };
  }),
);
const options: TrainOptions = {
  learningRate: 0.01,
  batching: { kind: "buckets", batchSize: 4 },
  epochs: 10,
  maxSteps: 50,
  clip: 1,
  seed: 5,
  pad: 0,
};

/** The losses of fifty steps. */
async function losses(
  backend: Backend,
  method: Method,
  extra: Partial<TrainOptions>,
): Promise<readonly number[]> {
  const before = memory(backend).live;
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
  const adapter = adapt(model, method, 1);
  const run = await startTraining(model, adapter, rows, { ...options, ...extra });
  const found: number[] = [];
  const submitted = () => backend.name === "gpu" ? (backend as GpuBackend).profile().submissions : 0;
  const start = submitted();
  for (let report = await run.next(); report; report = await run.next()) found.push(report.loss);
  assert.ok(submitted() - start <= found.length + 1, `${submitted() - start} submissions`);
  run.dispose();
  for (const [, t] of leaves(adapter.params)) if (!t.storage.freed) t.storage.free();
  model.dispose();
  assert.equal(memory(backend).live, before, "live bytes left behind");
  return found;
}

const RUNS: readonly (readonly [string, Method, Partial<TrainOptions>])[] = [
  ["LoRA with dropout", lora({ rank: 2, dropout: 0.1, targets: "all-linear" }), {}],
  ["(IA)³", ia3(), { learningRate: 0.05 }],
  ["full fine-tuning with recomputed blocks", fullFineTune(), { checkpointBlocks: true, learningRate: 1e-3 }],
];

for (const [name, method, extra] of RUNS) {
  gpuTest(`fifty steps of ${name} on gpu follow wasm's losses`, async () => {
    const runs: (readonly number[])[] = [];
    for (const backend of ALL_BACKENDS.filter((name) => name !== "reference")) {
      await withBackend(backend, async (backend) => {
        runs.push(await losses(backend, method, extra));
      });
    }
    const [wasm, gpu] = runs;
    assert.equal(gpu!.length, 50);
    assert.ok(gpu!.at(-1)! < 0.95 * gpu![0]!, String(gpu));
    gpu!.forEach((loss, i) =>
      assert.ok(Math.abs(loss - wasm![i]!) <= TRAINING, `step ${i + 1}: ${loss} and ${wasm![i]}`)
    );
  });
}
