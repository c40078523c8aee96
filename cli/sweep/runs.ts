/** The runs of a sweep: each in its own folder, with finished runs kept and killed ones resumed. */
import { readFileSync, rmSync } from "node:fs";
import { createHash } from "node:crypto";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { parseJson } from "../../formats/strict_json.ts";
import { optionalFile } from "../../io/tokenizer_files.ts";
import { exists } from "../../io/path_exists.ts";
import { BACKEND_NAMES } from "../../ops/auto/mod.ts";
import { type BackendName, withBackend } from "../load.ts";
import { recordedBackend } from "../finetune/where.ts";
import { Exit } from "../terminal/arguments.ts";
import { INTERRUPTED } from "../terminal/interrupt.ts";
import { changedOption } from "../../tuning/run_identity.ts";
import { finetuneResult, type Reported } from "../finetune/run.ts";
import { METRIC_NAMES } from "../metric_names.ts";
import type { RunFlags } from "../finetune/run_flags.ts";
import type { Point } from "./points.ts";
import { failure } from "../../errors/error.ts";

/** A planned run. */
export interface PlannedRun {
  readonly point: Point;
  readonly seed: number;
  readonly flags: RunFlags;
}

/** The outcome of a run. */
export interface SweepRun {
  readonly point: Point;
  readonly seed: number;
  readonly folder: string;
  /** Absent where it failed. */
  readonly result?: RunResult;
  readonly error?: string;
}

/** The results of a run in the table. */
export interface RunResult {
  /** Held-out loss of the saved parameters. */
  readonly loss: number;
  /** What else was measured on held-out rows, by name. */
  readonly metrics?: Readonly<Record<string, number>>;
  readonly steps: number;
  readonly seconds: number;
  readonly trainable: number;
  /** Peak number of live bytes in training. */
  readonly peak: number;
}

/** The folder of a run, named by its varied options. */
export function runFolder(output: string, point: Point, seed: number): string {
  const parts = [...Object.entries(point), ["seed", String(seed)]].map(([name, value]) => `${name}=${value}`);
  const name = parts.map((part) => part.replace(/[^A-Za-z0-9=.,+_-]/g, "_")).join("_");
  // Sanitized or shortened names could collide.
  const exact = name === parts.join("_") && name.length <= 120;
  const hash = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 8);
  return `${output}/runs/${exact ? name : `${name.slice(0, 100)}-${hash}`}`;
}

/**
 * Completes a run from its current state.
 *
 * @param fresh Called before work begins; not called when the run was finished earlier.
 * @throws {OtherRun} when the folder holds a run with other options.
 * @throws {Exit} when the user interrupts it.
 */
export async function taken(planned: PlannedRun, data: string, fresh: () => void): Promise<SweepRun> {
  const { point, seed, flags } = planned;
  const folder = flags.output;
  const identity = identityOf(flags, data);
  const earlier = await takenBefore(planned, data);
  if (earlier !== undefined) {
    dropCheckpoint(folder);
    return earlier;
  }
  fresh();
  // The checkpoint remains until the record is written: a process killed in between repeats no step.
  const reported = await finetuneResult({ ...flags, resume: true, keepCheckpoint: true });
  if (reported.outcome === "interrupted") throw new Exit(INTERRUPTED);
  const result = resultOf(reported, flags);
  await writeTextAtomically(
    `${folder}/${RECORD}`,
    `${JSON.stringify({ options: identity, result }, null, 2)}\n`,
  );
  dropCheckpoint(folder);
  return { point, seed, folder, result };
}

/**
 * A run as its folder has it; undefined when it is not finished.
 *
 * @throws {OtherRun} when the folder holds a run with other options.
 */
export async function takenBefore(
  { point, seed, flags }: PlannedRun,
  data: string,
): Promise<SweepRun | undefined> {
  const folder = flags.output;
  const earlier = await finished(folder);
  if (earlier === undefined) return undefined;
  checkSame(folder, earlier.options, identityOf(flags, data));
  const { loss, ...result } = earlier.result;
  return { point, seed, folder, result: { ...result, loss: loss ?? NaN } }; // JSON has no NaN
}

const dropCheckpoint = (folder: string): void =>
  rmSync(`${folder}/checkpoint`, { recursive: true, force: true });

/**
 * Runs of which those for "auto" compute on one backend: the one that was agreed on, that some have run on, or that fits.
 */
export async function withSweepsBackend(
  planned: readonly PlannedRun[],
  agreed: string | undefined,
): Promise<readonly PlannedRun[]> {
  const open = planned.filter(({ flags }) => flags.backend === "auto");
  if (open[0] === undefined) return planned;
  const earlier = BACKEND_NAMES.find((name) => name === agreed) ??
    (await Promise.all(open.map(({ flags }) => earlierBackend(flags.output)))).find((name) =>
      name !== undefined
    );
  const backend = earlier ?? (await withBackend(open[0].flags)).backend;
  return planned.map((run) => open.includes(run) ? { ...run, flags: { ...run.flags, backend } } : run);
}

/** The backend that a run in a folder was done on or began on; undefined of none. */
async function earlierBackend(folder: string): Promise<BackendName | undefined> {
  const named = (await finished(folder))?.options["backend"];
  const done = BACKEND_NAMES.find((name) => name === named);
  if (done !== undefined) return done;
  const state = `${folder}/checkpoint/state.safetensors`;
  return exists(state) ? recordedBackend(state) : undefined;
}

/** A folder that belongs to another sweep. */
export class OtherRun extends RangeError {
  /** What went wrong, for programs. */
  readonly code: "CANNOT_RESUME" = "CANNOT_RESUME";

  override readonly name = "OtherRun";
}

const RECORD = "sweep_run.json";

interface Finished {
  readonly options: Readonly<Record<string, unknown>>;
  readonly result: RunResult;
}

async function finished(folder: string): Promise<Finished | undefined> {
  const path = `${folder}/${RECORD}`;
  const bytes = await optionalFile(path);
  return bytes === undefined ? undefined : parseJson(path, bytes) as Finished;
}

/** What determines the results of a run, as JSON. */
export function identityOf(flags: RunFlags, data: string): Readonly<Record<string, unknown>> {
  const others = ["output", "json", "resume", "threads", "licence", "debug"];
  const own = Object.entries(flags).filter(([name]) => !others.includes(name));
  return JSON.parse(JSON.stringify({ ...Object.fromEntries(own), data }));
}

function checkSame(folder: string, then: Finished["options"], now: Finished["options"]): void {
  const changed = changedOption(then, now);
  if (changed === undefined) return;
  const { name, was, is } = changed;
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new OtherRun(
    name === "data"
      ? `Cannot continue the sweep: --data has other bytes than when ${folder} was trained`
      : `Cannot continue the sweep: in ${folder} --${option} was ${was} and is ${is} now; give the options that it began with, or another --output`,
  );
}

/** The named metrics of a line of the log. */
function metricsOf(line: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.keys(METRIC_NAMES).flatMap((name) => typeof line[name] === "number" ? [[name, line[name]]] : []),
  );
}

/** The earlier part of a resumed run is only in its log. */
function resultOf({ best, ...reported }: Reported, { keep, output }: RunFlags): RunResult {
  const lines = readFileSync(`${output}/metrics.jsonl`, "utf8").split("\n").filter((line) => line !== "");
  const log = lines.map((line) =>
    JSON.parse(line) as { readonly step: number; readonly seconds?: number; readonly evalLoss?: unknown }
  );
  const last = log.findLast(({ evalLoss }) => evalLoss !== undefined);
  if (last === undefined) {
    throw failure("INVALID_ARGUMENT", "Expected a held-out loss but the run made no evaluation");
  }
  const { steps, trainable, peak } = reported;
  const isBest = keep === "best" && best !== undefined;
  const kept = isBest ? log.find(({ step, evalLoss }) => step === best.step && evalLoss !== undefined) : last;
  const metrics = metricsOf(kept ?? {});
  return {
    loss: isBest ? best.value : Number(last.evalLoss ?? NaN),
    ...Object.keys(metrics).length > 0 && { metrics },
    steps,
    seconds: log.reduce((sum, { seconds = 0 }) => sum + seconds, 0),
    trainable,
    peak,
  };
}
