/** `graft doctor`: what this machine can do, measured in about half a minute. */
import { BACKEND_NAMES } from "../ops/auto/mod.ts";
import { machineMemory } from "../platform/machine_memory.ts";
import { runtimeName } from "../platform/runtime.ts";
import { type BackendReport, examineBackend } from "./doctor/backends.ts";
import { processor } from "./doctor/processor.ts";
import { examineRuns, type RunReport } from "./doctor/runs.ts";
import { localData } from "./data_source.ts";
import { trainingOptions } from "./finetune.ts";
import type { FinetuneFlags } from "./finetune/settings.ts";
import { openBackend, withBackend } from "./load.ts";
import { Command, integer, onePath } from "./terminal/arguments.ts";
import { print, printJson, showBytes, showSeconds, table } from "./terminal/output.ts";
import { wrapped } from "./terminal/text.ts";

/** The flags of the command. */
interface DoctorFlags {
  readonly model?: string;
  readonly data?: string;
  readonly threads?: number;
  readonly json?: true;
}

/** Registers the command. */
export function doctor(program: Command): void {
  program.command("doctor")
    .description("Measure this machine, what fits, and how long it takes")
    .option("-m, --model <path|id>", 'a model to train here: folder, .gguf, hub id or "embedded"', onePath)
    .option("-d, --data <path|id>", "examples to train it on: a file, a folder or a hub id", onePath)
    .option("--threads <n>", "of the CPU; default the machine's, at most 8 on wasm", integer())
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  graft doctor -m model.gguf -d train.jsonl")
    .action(async (given: DoctorFlags) => {
      const { threads } = given;
      const machine = {
        processor: processor(),
        cores: navigator.hardwareConcurrency,
        memory: machineMemory(),
        runtime: runtimeName(),
      };
      const backends: BackendReport[] = [];
      for (const name of BACKEND_NAMES) {
        if (name !== "reference") backends.push(await examineBackend(name, threads));
      }
      const runs = given.model === undefined ? undefined : await runsOf(given);
      if (given.json === true) return printJson({ machine, backends, runs });
      const { memory, processor: { name, vectors }, cores, runtime } = machine;
      print(`${name}, ${cores} cores${vectors.length === 0 ? "" : `, ${vectors.join(", ")}`}; ${runtime}`);
      if (memory !== undefined) print(`${showBytes(memory.total)} of memory, ${showBytes(memory.free)} free`);
      print("");
      print(backendTable(backends));
      for (const line of backends.map(backendLine)) print(wrapped(line, 80));
      if (runs !== undefined) print(`\n${runTable(runs, given.data !== undefined)}`);
    });
}

async function runsOf({ model, data, threads }: DoctorFlags): Promise<readonly RunReport[]> {
  // A run as finetune would do it if nothing else were said.
  const usual = trainingOptions(new Command("finetune")).opts<FinetuneFlags>();
  const flags = await withBackend(
    await localData({
      ...usual,
      ...model !== undefined && { model },
      ...data !== undefined && { data },
      ...threads !== undefined && { threads },
    }),
  );
  const backend = await openBackend(flags);
  try {
    return await examineRuns(flags, backend);
  } finally {
    backend.close();
  }
}

const giga = (n: number): string => (n / 1e9).toPrecision(3);

function backendTable(reports: readonly BackendReport[]): string {
  const rows = reports.map((one) =>
    "missing" in one ? [one.name, "none"] : [
      one.name,
      String(one.threads ?? ""),
      giga(one.productOperations),
      giga(one.quantizedOperations),
      giga(one.bytes),
      `${one.kernelsTried.filter(({ good }) => good).length} of ${one.kernelsTried.length}`,
    ]
  );
  return table([["backend", "threads", "f32 GFLOP/s", "4-bit GFLOP/s", "GB/s", "kernels right"], ...rows]);
}

/** What a table has no room for, as a line that can be pasted into a report. */
function backendLine(one: BackendReport): string {
  if ("missing" in one) return `${one.name}: none. ${one.missing}`;
  const { name, adapter, software, kernels, kernelsTried } = one;
  const worst = kernelsTried.reduce((a, b) => b.error > a.error ? b : a);
  const bad = kernelsTried.filter(({ good }) => !good);
  const what = [
    ...adapter === undefined
      ? []
      : [`adapter ${adapter}${software === true ? ", a software adapter and no card" : ""}`],
    ...kernels === undefined ? [] : [`kernels ${kernels}`],
    bad.length === 0
      ? `largest difference from the reference ${worst.error.toExponential(1)} (${worst.kernel})`
      : `wrong: ${
        bad.map(({ kernel, error, failed }) => `${kernel} (${failed ?? error.toExponential(1)})`).join(", ")
      }`,
  ];
  return `${name}: ${what.join("; ")}`;
}

function runTable(runs: readonly RunReport[], ofData: boolean): string {
  const shown = (seconds: number): string =>
    seconds < 10 ? `${seconds.toPrecision(2)} s` : showSeconds(seconds);
  const rows = runs.map(({ method, memory, fits, time, disk }) => [
    method,
    showBytes(memory),
    fits ? "yes" : "no",
    time === undefined ? "" : shown(time.step),
    time === undefined ? "" : time.tokensPerSecond.toFixed(0),
    ...ofData
      ? [time === undefined ? "" : shown(time.epoch), time === undefined ? "" : shown(time.total)]
      : [],
    showBytes(disk),
  ]);
  const first = runs.find(({ time }) => time !== undefined)?.time;
  return [
    table([
      ["method", "memory", "fits", "step", "tokens/s", ...ofData ? ["epoch", "whole run"] : [], "disk"],
      ...rows,
    ]),
    ...first === undefined ? [] : [
      `On ${first.backend}, in batches as finetune makes them${
        ofData ? `; a run is ${first.steps} steps` : "; every row full, for lack of --data"
      }`,
    ],
    ...new Set(runs.flatMap(({ untimed }) => untimed === undefined ? [] : [`Not timed where ${untimed}`])),
  ].join("\n");
}
