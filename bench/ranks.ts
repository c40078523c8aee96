/**
 * What 2 to 64 machines would gain over Ethernet, calculated from a step and its gradients as two processes have them here:
 * `deno run -A bench/ranks.ts`. Needs Open MPI's or MPICH's mpirun. Nothing else should run.
 */
import { rankedStep } from "./ranked_step.ts";

const LATENCY = 50e-6;

const { step, sum, bytes } = await rankedStep(2);
console.log(
  `Measured here in two processes of one thread: ${step.toFixed(2)} s a step, the sum of its gradients ${
    (1000 * sum).toFixed(1)
  } ms.\n`,
);
// Every machine takes a step's share as long as here; the sum goes up a binary tree and comes back in two halves.
console.log(
  `Calculated for gradients of ${(bytes / 1e6).toFixed(1)} MB, ${
    step.toFixed(1)
  } s of work for each machine ` +
    "and a latency of 50 µs: time of the sum, and the share of the step's time that is work\n",
);
console.log("| machines | 1 Gbit/s | 25 Gbit/s |\n|---|---|---|");
for (const machines of [2, 4, 8, 16, 32, 64]) {
  const cells = [1e9, 25e9].map((bits) => {
    const once = bytes * 8 / bits + LATENCY;
    const levels = Math.log2(machines);
    const seconds = levels * once + 2 * bytes * 8 / bits + levels * LATENCY;
    return `${(seconds * 1000).toFixed(1)} ms, ${(100 * step / (step + seconds)).toFixed(1)} %`;
  });
  console.log(`| ${machines} | ${cells.join(" | ")} |`);
}
