/** The runs of a sweep, by one process or by several that share a folder, and their table. */
import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { systemCode } from "../../platform/files.ts";
import { localSource } from "../load.ts";
import { modelSource } from "../model_source.ts";
import {
  agree,
  agreed,
  type Agreement,
  checkOptions,
  claimsOf,
  isFinished,
  SHARING,
} from "../sharing/agreement.ts";
import { openClaims, outcomeOf } from "../sharing/claims.ts";
import { isOfDisk } from "../sharing/disk_errors.ts";
import {
  announce,
  endingNote,
  noteUnseen,
  shareOut,
  type Sharing,
  tellsResult,
} from "../sharing/share_out.ts";
import type { Shard } from "../sharing/shard.ts";
import { Exit } from "../terminal/arguments.ts";
import { note, print, printJson } from "../terminal/output.ts";
import { OtherRun, type PlannedRun, type SweepRun, taken, takenBefore, withSweepsBackend } from "./runs.ts";
import { sorted, sweepTable } from "./table.ts";
import { rangeError } from "../../errors/error.ts";

/** A sweep whose options are read. */
export interface Sweep {
  readonly planned: readonly PlannedRun[];
  /** Of the data. */
  readonly hash: string;
  readonly folder: string;
  readonly json: true | undefined;
  readonly settings: Pick<Agreement, "options" | "plan">;
}

const nameOf = ({ flags }: PlannedRun): string => flags.output.split("/").at(-1)!;

/**
 * Performs the runs that are this process's to perform. One process prints the table: the only one, or the one that finds
 * all points done.
 */
export async function performAll(sweep: Sweep, shard: Shard | undefined): Promise<void> {
  const { folder } = sweep;
  const points = sweep.planned.map(nameOf);
  const agreedSweep = await withAgreement(sweep, shard, points);
  await announce(folder, shard, points);
  using claims = openClaims(claimsOf(folder));
  const failures: Error[] = [];
  const perform = performer(agreedSweep, shard, failures);
  const sharing: Sharing = { folder, claims, shard, points, perform };
  const ending = await shareOut(sharing);
  // A failure of all runs does not depend on the points.
  const alike = failures.every(({ message }) => message === failures[0]!.message);
  if (failures.length === points.length && alike) {
    claims[Symbol.dispose]();
    dropEmpty(folder);
    throw failures[0];
  }
  if (shard !== undefined) note(endingNote(sharing, ending));
  if (shard === undefined || tellsResult(sharing, ending)) {
    const runs = await runsSoFar(agreedSweep);
    show(runs, sweep);
    if (runs.some(({ error }) => error !== undefined)) throw new Exit(1);
  }
  if (failures.length > 0) throw new Exit(1);
}

/** The sweep with the backend on which all processes compute, once they agree. */
async function withAgreement(
  sweep: Sweep,
  shard: Shard | undefined,
  points: readonly string[],
): Promise<Sweep> {
  const { folder, settings } = sweep;
  const before = await agreed(folder);
  const planned = await withSweepsBackend(sweep.planned, before?.backend);
  if (shard === undefined) {
    if (before !== undefined) checkOptions(folder, before, settings.options);
    return { ...sweep, planned };
  }
  const backend = planned.find((_, i) => sweep.planned[i]!.flags.backend === "auto")?.flags.backend;
  const mine = { ...settings, points, ...backend !== undefined && { backend } };
  const now = await agree(folder, mine, isFinished(folder));
  return { ...sweep, planned: await withSweepsBackend(sweep.planned, now.backend) };
}

/** How a run is performed: its failure is returned, and kept in `failures`. */
function performer(
  sweep: Sweep,
  shard: Shard | undefined,
  failures: Error[],
): (point: number) => Promise<string | undefined> {
  const { planned, hash } = sweep;
  return async (i) => {
    const { point, seed } = planned[i]!;
    const varied = [...Object.entries(point), ["seed", seed]].map(([name, value]) => `${name} ${value}`);
    try {
      await taken(
        planned[i]!,
        hash,
        () => note(`Run ${i + 1} of ${planned.length}: ${varied.join(", ")}`),
      );
      await writeResults(sweep);
      return undefined;
    } catch (error) {
      if (error instanceof Exit) {
        if (shard === undefined) show(await runsSoFar(sweep), sweep);
        note(
          `Interrupted in run ${i + 1} of ${planned.length}; to go on, repeat the command` +
            (shard === undefined ? " with --resume" : ""),
        );
        throw error;
      }
      if (!(error instanceof Error) || error instanceof OtherRun || isOfDisk(error)) throw error;
      if (error.message !== failures.at(-1)?.message) note(`Failed: ${error.message}`);
      failures.push(error);
      return error.message;
    }
  };
}

/** Prints what is there, and says what is not. */
export async function printTable(sweep: Sweep): Promise<void> {
  const { folder, settings } = sweep;
  const before = await agreed(folder);
  if (before !== undefined) checkOptions(folder, before, settings.options);
  const planned = await withSweepsBackend(sweep.planned, before?.backend);
  const runs = await runsSoFar({ ...sweep, planned });
  const there = new Set(runs.map(({ folder }) => folder));
  const left = planned.filter(({ flags }) => !there.has(flags.output)).map(nameOf);
  show(runs, sweep);
  if (left.length === 0) return;
  note(`Not finished in ${folder}: ${left.join(", ")}`);
  noteUnseen(folder);
  throw new Exit(1);
}

/** The finished and failed runs of a folder, whichever process ran them, in the order of the plan. */
async function runsSoFar({ planned, hash, folder }: Sweep): Promise<readonly SweepRun[]> {
  const found = await Promise.all(planned.map(async (plan): Promise<readonly SweepRun[]> => {
    const run = await takenBefore(plan, hash);
    if (run !== undefined) return [run];
    const outcome = outcomeOf(claimsOf(folder), nameOf(plan));
    const { point, seed, flags: { output } } = plan;
    return outcome?.state === "failed" ? [{ point, seed, folder: output, error: outcome.message }] : [];
  }));
  return found.flat();
}

/** Writes results.json: again where another process has finished a run meanwhile, so that the last one writes all. */
async function writeResults(sweep: Sweep): Promise<void> {
  const text = async (): Promise<string> =>
    `${JSON.stringify({ runs: sorted(await runsSoFar(sweep)) }, null, 2)}\n`;
  for (let [written, now] = ["", await text()]; now !== written; now = await text()) {
    await writeTextAtomically(`${sweep.folder}/results.json`, now);
    written = now;
  }
}

function show(runs: readonly SweepRun[], { json }: Sweep): void {
  if (json === true) return printJson({ runs: sorted(runs) });
  if (runs.length === 0) return;
  print(sweepTable(runs));
  const best = sorted(runs)[0];
  if (best?.result !== undefined) print(`The best is in ${best.folder}`);
}

/** Looks for the model, where it is one for all runs, before anything is made. */
export async function checkModel(planned: readonly PlannedRun[]): Promise<void> {
  const { flags } = planned[0]!;
  if (planned.some((run) => run.flags.model !== flags.model)) return;
  checkpointShapes(await localSource(await modelSource(flags)));
}

/**
 * @throws {RangeError} when the folder is not empty, or has no sweep to resume. One that is shared may be begun by others.
 */
export function checkFolder(folder: string, resume: boolean, shard: Shard | undefined): void {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    throw rangeError("CANNOT_WRITE", `Cannot write to ${folder}: it is not a folder`, { cause: error });
  }
  if (entries.length === 0 || (shard !== undefined && entries.includes(SHARING))) return;
  if (!resume) {
    throw rangeError(
      "OUTPUT_EXISTS",
      `Cannot write to ${folder}: it exists; give another folder, or --resume to continue the sweep in it`,
    );
  }
  if (!entries.includes("runs")) {
    throw rangeError("CANNOT_RESUME", `Cannot resume ${folder}: it holds no sweep`);
  }
}

/** Leaves no folder behind where nothing was trained. */
function dropEmpty(folder: string): void {
  if (readdirSync(folder).join() !== SHARING) return;
  rmSync(`${folder}/${SHARING}`, { recursive: true });
  rmdirSync(folder);
}
