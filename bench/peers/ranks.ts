/**
 * A step, or the sum of its gradients, of processes that train together; each reading starts them anew, since an MPI library that
 * waits keeps its core busy. Options as JSON: see `RanksOptions`.
 */
import { rankedStep } from "../ranked_step.ts";
import { VERSIONS } from "./serve.ts";

interface RanksOptions {
  readonly processes: 1 | 2;
  readonly time: "step" | "sum";
}

const { processes, time }: RanksOptions = JSON.parse(Deno.args[0]!);
console.log(JSON.stringify(VERSIONS));
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  for (const _ of text.trim().split("\n")) {
    const found = await rankedStep(processes);
    console.log(JSON.stringify({ milliseconds: 1000 * found[time], peakBytes: found.peakBytes }));
  }
}
