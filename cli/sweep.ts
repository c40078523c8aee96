/** `graft sweep`: many runs of `graft finetune` that differ in their options and seeds, and one table of them. */
import { checkRegularFile } from "../train/regular_file.ts";
import {
  type Command,
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
import { checkObjective } from "./finetune/objective.ts";
import { heldOutOf } from "./finetune/planned_sizes.ts";
import type { RunFlags } from "./finetune/run_flags.ts";
import { chosenFlags, type FinetuneFlags } from "./finetune/settings.ts";
import { checkFlags } from "../tuning/method_from_flags.ts";
import { note } from "./terminal/output.ts";
import { axesOf, gridPoints, type Point, randomPoints } from "./sweep/points.ts";
import { checkFolder, checkModel, performAll, printTable } from "./sweep/perform.ts";
import { identityOf, type PlannedRun, runFolder } from "./sweep/runs.ts";
import { type ShardFlag, shardOf, shardOption } from "./sharing/shard.ts";
import { environmentVariable } from "../platform/environment.ts";

const EXAMPLE = `
Example:
  graft sweep -m model.gguf -d data.jsonl -o out --grid rank=4,8 --seeds 0,1
  graft sweep -m model.gguf -d data.jsonl -o out --grid rank=2..64 --random 12

Every option of graft finetune can stand in --grid, and holds for all runs where
it is given by itself. Killed or interrupted, the same command with --resume
keeps finished runs and continues the one that was begun.`;

interface SweepFlags extends FinetuneFlags {
  readonly shard?: ShardFlag;
  readonly table?: true;
  readonly grid?: readonly string[];
  readonly seeds?: readonly number[];
  readonly random?: number;
  readonly drawSeed: number;
}

/** Registers the command. */
export function sweep(program: Command): void {
  const command = program.command("sweep")
    .description("Train with many options and seeds, and compare the runs")
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
    .addOption(shardOption())
    .option("--table", "print what is finished in --output, and stop")
    .option("--json", "print the runs as JSON");
  for (const own of command.options) if (!SHOWN.includes(own.name())) own.hideHelp();
  helpAll(command).addHelpText("after", EXAMPLE).action(async () =>
    await run(command, await localData(command.opts<SweepFlags>()))
  );
}

/** Options in the short help; `graft finetune --help` explains the others. */
const SHOWN = [
  ...["data", "output", "grid", "random", "seeds", "resume", "shard", "table", "json", "help-all"],
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
      checkObjective(own);
      if (heldOutOf(own).heldOut === 0 && own.evalData === undefined) {
        throw new UsageError(
          "Expected held-out examples to compare the runs by: leave out --held-out 0, or give --eval-data",
        );
      }
      return { point, seed, flags: own };
    })
  ));
  await checkRegularFile(data);
  const hash = await fileHash(data);
  const { json } = flags;
  const settings = {
    options: identityOf(base, hash),
    plan: { grid, seeds, ...random !== undefined && { random, drawSeed } },
  };
  if (flags.table === true) return await printTable({ planned, hash, folder, json, settings });
  const shard = shardOf(flags.shard, environmentVariable);
  checkFolder(folder, flags.resume === true, shard);
  await checkModel(planned);
  await performAll({ planned, hash, folder, json, settings }, shard);
}

/** The settings common to all runs. */
function baseOf(flags: SweepFlags, places: Pick<RunFlags, "data" | "output">): RunFlags {
  const { grid: _, seeds: __, random: ___, drawSeed: ____, shard: _____, table: ______, ...own } = flags;
  const { json: _______, resume: ________, ...rest } = own;
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
  "shard",
  "table",
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

function seedList(text: string): readonly number[] {
  const seeds = text.split(",").map((part) => integer(0)(part.trim()));
  if (new Set(seeds).size < seeds.length) {
    throw new InvalidArgumentError(`Expected different seeds but found "${text}"`);
  }
  return seeds;
}
