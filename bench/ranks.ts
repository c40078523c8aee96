/**
 * What training in several processes costs: `deno run -A bench/ranks.ts MODEL`. A LoRA step of 8 x 128 tokens in one process of
 * two threads beside two processes of one thread, in turns; the sum of the gradients alone; and from these, calculated, what 2
 * to 64 machines would gain over Ethernet. Needs Open MPI's or MPICH's mpirun. Nothing else should run.
 */
import process from "node:process";
import { adapt, count, type Method } from "../core/mod.ts";
import { launcherOf } from "../distributed/launcher.ts";
import { openMpi } from "../distributed/mpi.ts";
import { loadModel } from "../io/mod.ts";
import { lora } from "../methods/mod.ts";
import { native } from "../ops/native/mod.ts";
import { environmentVariable } from "../platform/environment.ts";
import { alone, rowsFrom, startTraining, type World } from "../train/mod.ts";

const [path, threads] = Deno.args;
if (path === undefined) {
  console.error("Usage: deno run -A bench/ranks.ts MODEL");
  Deno.exit(2);
}

/** What one process measures. */
interface Measured {
  /** Of a step, in seconds: the median. */
  readonly step: number;
  /** Of sending the gradients to a rank and getting their sum back, in seconds: the median. */
  readonly sum: number;
  /** The gradients' bytes. */
  readonly bytes: number;
}

const STEPS = 5;
const ROWS = 8;
const TOKENS = 128;

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

async function timed(work: () => Promise<unknown>, times: number): Promise<number> {
  const seconds: number[] = [];
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    await work();
    seconds.push((performance.now() - began) / 1000);
  }
  return median(seconds.slice(1)); // the first one warms up
}

async function measured(world: World, threads: number): Promise<Measured> {
  const model = await loadModel(path!, { backend: native({ threads }) });
  const ids = (n: number) => Array.from({ length: TOKENS }, (_, i) => 5 + (n * 977 + i * 31) % 40000);
  const rows = rowsFrom(Array.from({ length: ROWS }, (_, n) => ({ inputIds: ids(n), labels: ids(n) })));
  const start = adapt(model, lora({ rank: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] }) as Method);
  const run = await startTraining(model, start, rows, {
    learningRate: 1e-4,
    batching: { kind: "buckets", batchSize: ROWS },
    epochs: STEPS + 1,
    pad: 0,
    world,
  });
  const step = await timed(() => run.next(), STEPS + 1);
  const bytes = 4 * count(model, start).trainable;
  const buffer = new Uint8Array(bytes);
  const sum = world.size === 1 ? 0 : await timed(async () => {
    await (world.rank === 1 ? world.send(0, buffer) : world.receive(1, buffer));
    await world.broadcast(0, buffer);
  }, 21);
  return { step, sum, bytes };
}

if (threads !== undefined) {
  const launcher = launcherOf(environmentVariable);
  const places = { library: environmentVariable("GRAFT_MPI"), path: environmentVariable("PATH") ?? "" };
  const world = launcher === undefined ? undefined : openMpi(launcher, places);
  const found = await measured(world ?? alone, Number(threads));
  if ((world?.rank ?? 0) === 0) console.log(JSON.stringify(found));
  world?.finalize();
  process.exit(0);
}

/** The number that a program prints. */
async function from(command: string, args: readonly string[]): Promise<Measured> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    env: { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (code !== 0) throw new Error(`${command}: ${err}`);
  return JSON.parse(out!.trim().split("\n").at(-1)!);
}

const self = ["run", "-A", "--quiet", new URL(import.meta.url).pathname, path];
const ratios: number[] = [];
let ranks: Measured = { step: NaN, sum: NaN, bytes: NaN };
for (let round = 0; round < 3; round++) {
  const one = await from(Deno.execPath(), [...self, "2"]);
  ranks = await from("mpirun", ["-n", "2", Deno.execPath(), ...self, "1"]);
  ratios.push(one.step / ranks.step);
  console.log(
    `one process of two threads ${one.step.toFixed(2)} s, two processes of one thread ${
      ranks.step.toFixed(2)
    } s: ` +
      `${(one.step / ranks.step).toFixed(2)} of its speed; the sum ${(ranks.sum * 1000).toFixed(1)} ms, ` +
      `${(100 * ranks.sum / ranks.step).toFixed(2)} % of a step`,
  );
}
console.log(`speed of two processes: ${median(ratios).toFixed(2)} (at least 0.9), median of three`);

// Calculated: every machine takes a step's share as long as here; the sum goes up a binary tree and comes back in two halves.
const LATENCY = 50e-6;
console.log(
  `\nCalculated for gradients of ${(ranks.bytes / 1e6).toFixed(1)} MB and ${
    ranks.step.toFixed(1)
  } s of work for each machine`,
);
console.log(
  "a step, with a latency of 50 µs: time of the sum, and the share of the step's time that is work\n",
);
console.log("| machines | 1 Gbit/s | 25 Gbit/s |\n|---|---|---|");
for (const machines of [2, 4, 8, 16, 32, 64]) {
  const cells = [1e9, 25e9].map((bits) => {
    const once = ranks.bytes * 8 / bits + LATENCY;
    const levels = Math.log2(machines);
    const seconds = levels * once + 2 * ranks.bytes * 8 / bits + levels * LATENCY;
    return `${(seconds * 1000).toFixed(1)} ms, ${(100 * ranks.step / (ranks.step + seconds)).toFixed(1)} %`;
  });
  console.log(`| ${machines} | ${cells.join(" | ")} |`);
}
