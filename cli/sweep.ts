/** `graft sweep`: many runs of `graft finetune` that differ in their options and seeds, and one table of them. */
import { readdirSync } from "node:fs";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { checkRegularFile } from "../train/regular_file.ts";
import {
  type Command,
  Exit,
  helpAll,
  integer,
  InvalidArgumentError,
  onePath,
  type Option,
  option,
  rare,
  repeated,
} from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { fileHash } from "./data.ts";
import { localData } from "./data_source.ts";
import { trainingOptions } from "./finetune.ts";
import { heldOutShare } from "./finetune/plan.ts";
import type { RunFlags } from "./finetune/run.ts";
import { chosenFlags, type FinetuneFlags } from "./finetune/settings.ts";
import { checkFlags } from "../tuning/method_from_flags.ts";
import { note, print, printJson } from "./terminal/output.ts";
import { axesOf, gridPoints, type Point, randomPoints } from "./sweep/points.ts";
import {
  OtherRun,
  type PlannedRun,
  runFolder,
  type SweepRun,
  taken,
  withSweepsBackend,
} from "./sweep/runs.ts";
import { sorted, sweepTable } from "./sweep/table.ts";
import { systemCode } from "../platform/files.ts";

const EXAMPLE = `
Example:
  graft sweep -m model.gguf -d data.jsonl -o out --grid rank=4,8 --seeds 0,1
  graft sweep -m model.gguf -d data.jsonl -o out --grid rank=2..64 --random 12

Every option of graft finetune can stand in --grid, and holds for all runs where
it is given by itself. Killed or interrupted, the same command with --resume
keeps finished runs and continues the one that was begun.`;

interface SweepFlags extends FinetuneFlags {
  readonly grid?: readonly string[];
  readonly seeds?: readonly number[];
  readonly random?: number;
  readonly drawSeed: number;
}

/** Registers the command. */
export function sweep(program: Command): void {
  const command = program.command("sweep")
    .description("Train with many options and seeds, and compare the runs by their held-out loss")
    .option("-d, --data <path|id>", "examples: a file, a folder or a hub id", onePath)
    .option(
      "-o, --output <folder>",
      "where the runs go, each in a folder of its own; must not exist",
      onePath,
    )
    .option(
      "--grid <option=a,b>",
      'values of an option ("|" parts values with commas), or a range a..b; repeat',
      repeated,
    )
    .option("--random <n>", "draw n points instead of taking every combination", integer())
    .option("--seeds <list>", "train each point with each of these seeds; default --seed's", seedList)
    .addOption(rare(option("--draw-seed <n>", "of the draws", integer(0), 0)));
  trainingOptions(command)
    .option("--resume", "continue the sweep in --output")
    .option("--json", "print the runs as JSON");
  for (const own of command.options) if (!SHOWN.includes(own.name())) own.hideHelp();
  helpAll(command).addHelpText("after", EXAMPLE).action(async () =>
    await run(command, await localData(command.opts<SweepFlags>()))
  );
}

/** Options in the short help; `graft finetune --help` explains the others. */
const SHOWN = [
  ...["data", "output", "grid", "random", "seeds", "resume", "json", "help-all"],
  ...[
    "method",
    "model",
    "rank",
    "learning-rate",
    "epochs",
    "max-steps",
    "batch-size",
    "held-out",
    "eval-data",
  ],
];

async function run(command: Command, flags: SweepFlags): Promise<void> {
  const { data, output, grid = [], seeds = [flags.seed], random, drawSeed } = flags;
  if (data === undefined) {
    throw new UsageError("Expected --data: a file or folder of examples, or a data set of the hub");
  }
  if (output === undefined) throw new UsageError("Expected --output: the folder for the runs");
  if (grid.length === 0 && seeds.length < 2) {
    throw new UsageError(
      "Expected --grid, such as --grid rank=4,8, or several --seeds: one run is graft finetune",
    );
  }
  const axes = axesOf(grid);
  const points = random === undefined ? gridPoints(axes) : randomPoints(axes, random, drawSeed);
  if (random !== undefined && points.length < random) {
    note(`There are only ${points.length} different points`);
  }
  const folder = output.replace(/[/\\]+$/, "") || output;
  const base = baseOf(flags, { data, output: folder });
  const planned = await Promise.all(points.flatMap((point) =>
    seeds.map(async (seed): Promise<PlannedRun> => {
      const own = { ...base, ...valuesOf(command, point), seed, output: runFolder(folder, point, seed) };
      checkFlags(await chosenFlags(own));
      if (heldOutShare(own) === 0 && own.evalData === undefined) {
        throw new UsageError(
          "Expected held-out examples to compare the runs by: leave out --held-out 0, or give --eval-data",
        );
      }
      return { point, seed, flags: own };
    })
  ));
  checkFolder(folder, flags.resume === true);
  await checkRegularFile(data);
  const runs = await all(await withSweepsBackend(planned), await fileHash(data), folder, flags);
  show(runs, flags);
  if (runs.some(({ error }) => error !== undefined)) throw new Exit(1);
}

/** Performs all runs, one after the other. If the user interrupts, the results so far are shown first. */
async function all(
  planned: readonly PlannedRun[],
  hash: string,
  folder: string,
  flags: SweepFlags,
): Promise<readonly SweepRun[]> {
  const runs: SweepRun[] = [];
  const failures: Error[] = [];
  for (const [i, plan] of planned.entries()) {
    const { point, seed, flags: { output } } = plan;
    const named = [...Object.entries(point), ["seed", seed]].map(([name, value]) => `${name} ${value}`);
    try {
      runs.push(
        await taken(plan, hash, () => note(`Run ${i + 1} of ${planned.length}: ${named.join(", ")}`)),
      );
    } catch (error) {
      if (error instanceof Exit) {
        show(runs, flags);
        note(`Interrupted in run ${i + 1} of ${planned.length}; to go on, repeat the command with --resume`);
        throw error;
      }
      if (!(error instanceof Error) || error instanceof OtherRun) throw error;
      runs.push({ point, seed, folder: output, error: error.message });
      if (error.message !== failures.at(-1)?.message) note(`Failed: ${error.message}`);
      failures.push(error);
    }
    if (runs.some(({ result }) => result !== undefined)) {
      await writeTextAtomically(
        `${folder}/results.json`,
        `${JSON.stringify({ runs: sorted(runs) }, null, 2)}\n`,
      );
    }
  }
  // A failure of all runs does not depend on the points.
  const alike = failures.every(({ message }) => message === failures[0]!.message);
  if (failures.length === planned.length && alike) throw failures[0];
  return runs;
}

function show(runs: readonly SweepRun[], { json }: SweepFlags): void {
  if (json === true) return printJson({ runs: sorted(runs) });
  if (runs.length === 0) return;
  print(sweepTable(runs));
  const best = sorted(runs)[0];
  if (best?.result !== undefined) print(`The best is in ${best.folder}`);
}

/** The settings common to all runs. */
function baseOf(flags: SweepFlags, places: Pick<RunFlags, "data" | "output">): RunFlags {
  const { grid: _, seeds: __, random: ___, drawSeed: ____, json: _____, resume: ______, ...rest } = flags;
  return { ...rest, ...places };
}

/** Options that a sweep cannot vary. */
const FIXED = [
  "data",
  "output",
  "grid",
  "seeds",
  "random",
  "draw-seed",
  "resume",
  "json",
  "licence",
  "help-all",
  "debug",
];

/**
 * A point's values, parsed as on the command line. @throws {UsageError} on an unknown option or a bad value.
 */
function valuesOf(command: Command, point: Point): Partial<FinetuneFlags> {
  return Object.fromEntries(
    Object.entries(point).flatMap(([name, text]): readonly (readonly [string, unknown])[] => {
      if (name === "seed") throw new UsageError("Expected --seeds 0,1 instead of --grid seed=0,1");
      const found = command.options.find((option) => option.name() === name);
      if (found === undefined || FIXED.includes(name)) {
        throw new UsageError(
          `Cannot vary "${name}": --grid takes the options of graft finetune, such as rank or learning-rate`,
        );
      }
      return [[found.attributeName(), valueOf(found, name, text)]];
    }),
  );
}

function valueOf(found: Option, name: string, text: string): unknown {
  if (found.isBoolean()) {
    if (text === "true") return true;
    if (text === "false") return undefined;
    throw new UsageError(`Expected --grid ${name}=true,false but found "${text}"`);
  }
  try {
    return found.parseArg === undefined ? text : found.parseArg(text, undefined);
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw new UsageError(`--grid ${name}: ${error.message}`);
    throw error;
  }
}

/** @throws {RangeError} when the folder is not empty, or has no sweep to resume. */
function checkFolder(folder: string, resume: boolean): void {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    throw new RangeError(`Cannot write to ${folder}: it is not a folder`, { cause: error });
  }
  if (entries.length === 0) return;
  if (!resume) {
    throw new RangeError(
      `Cannot write to ${folder}: it exists; give another folder, or --resume to continue the sweep in it`,
    );
  }
  if (!entries.includes("runs")) throw new RangeError(`Cannot resume ${folder}: it holds no sweep`);
}

function seedList(text: string): readonly number[] {
  const seeds = text.split(",").map((part) => integer(0)(part.trim()));
  if (new Set(seeds).size < seeds.length) {
    throw new InvalidArgumentError(`Expected different seeds but found "${text}"`);
  }
  return seeds;
}
