/**
 * One of the processes that train together, or the only one: a LoRA step of 8 x 128 tokens on SmolLM2-135M's shape, in two
 * chunks, and the sum of its gradients over two processes. Argument: threads. Rank 0 prints a `RankedStep`.
 */
import process from "node:process";
import { adapt, count, type Method } from "../../core/mod.ts";
import { launcherOf } from "../../distributed/launcher.ts";
import { openMpi } from "../../distributed/mpi.ts";
import { lora } from "../../methods/mod.ts";
import { freshModel } from "../../models/mod.ts";
import { native } from "../../ops/native/mod.ts";
import { environmentVariable } from "../../platform/environment.ts";
import { alone, rowsFrom, startTraining } from "../../train/mod.ts";
import type { RankedStep } from "../ranked_step.ts";
import { peakResident } from "./serve.ts";
import { SMOLLM2 } from "./smollm2.ts";

const STEPS = 5;
const ROWS = 8;
const TOKENS = 128;

/** The median of repeated runs in seconds; one before them warms up. */
async function timed(work: () => Promise<unknown>, times: number): Promise<number> {
  const seconds: number[] = [];
  for (let i = 0; i <= times; i++) {
    const began = performance.now();
    await work();
    if (i > 0) seconds.push((performance.now() - began) / 1000);
  }
  return seconds.sort((a, b) => a - b)[Math.floor(times / 2)]!;
}

const launcher = launcherOf(environmentVariable);
const places = { library: environmentVariable("GRAFT_MPI"), path: environmentVariable("PATH") ?? "" };
const mpi = launcher === undefined ? undefined : openMpi(launcher, places);
const world = mpi ?? alone;
const model = freshModel(SMOLLM2, { backend: native({ threads: Number(Deno.args[0]) }), key: 0 });
const ids = (n: number): readonly number[] =>
  Array.from({ length: TOKENS }, (_, i) => 5 + (n * 977 + i * 31) % 40000);
const rows = rowsFrom(Array.from({ length: ROWS }, (_, n) => ({ inputIds: ids(n), labels: ids(n) })));
const start = adapt(model, lora({ rank: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] }) as Method);
const run = await startTraining(model, start, rows, {
  learningRate: 1e-4,
  batching: { kind: "buckets", batchSize: ROWS },
  chunkTokens: ROWS * TOKENS / 2,
  epochs: STEPS + 1,
  pad: 0,
  world,
});
const step = await timed(() => run.next(), STEPS);
const bytes = 4 * count(model, start).trainable;
const buffer = new Uint8Array(bytes);
const sum = world.size === 1 ? 0 : await timed(async () => {
  await (world.rank === 1 ? world.send(0, buffer) : world.receive(1, buffer));
  await world.broadcast(0, buffer);
}, 20);
if (world.rank === 0) {
  console.log(JSON.stringify({ step, sum, bytes, peakBytes: peakResident() } satisfies RankedStep));
}
mpi?.finalize();
process.exit(0);
