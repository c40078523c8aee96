/**
 * Which share of a command's points a process begins with: `--shard 3/16`, the task of a Slurm array, or the rank that a
 * launcher (mpirun, srun) gave it. Points need no MPI: the processes meet in a folder alone.
 */
import { LAUNCHERS } from "../../distributed/launcher.ts";
import { InvalidArgumentError, type Option, option, reader } from "../terminal/arguments.ts";
import { UsageError } from "../../tuning/usage_error.ts";

/** One of `count` shares of the points: those with number ≡ index − 1 modulo count. */
export interface Share {
  /** From 1. */
  readonly index: number;
  readonly count: number;
}

/** A process's share, and how it was told. */
export interface Shard extends Share {
  /** The option or the variables. */
  readonly told: string;
  /** Tasks of an array start when there is room; all others are started together, or by hand. */
  readonly starts: "by hand" | "in turn" | "together";
}

/** A value of `--shard`. */
export type ShardFlag = Share | "off";

/** An environment variable; undefined when it is not set. */
export type Variables = (name: string) => string | undefined;

/** The option `--shard`. */
export function shardOption(): Option {
  return option("--shard <k/n>", 'this process\'s share of the points, or "off"; docs/cluster.md', shardFlag);
}

const shardFlag = reader<ShardFlag>((text) => {
  if (text === "off") return "off";
  const [, index, count] = /^([1-9][0-9]{0,8})\/([1-9][0-9]{0,8})$/.exec(text) ?? [];
  if (index === undefined || Number(index) > Number(count)) {
    throw new InvalidArgumentError(
      `Expected a share such as 3/16, from 1/16 to 16/16, or "off", but found "${text}"`,
    );
  }
  return { index: Number(index), count: Number(count) };
}, { type: "string" });

/**
 * This process's shard; undefined where all points are its own.
 *
 * @throws {UsageError} when the variables make no sense.
 */
export function shardOf(flag: ShardFlag | undefined, variable: Variables): Shard | undefined {
  if (flag === "off") return undefined;
  if (flag !== undefined) return { ...flag, told: "--shard", starts: "by hand" };
  const [task, rank] = [arrayTask(variable), launchedRank(variable)];
  if (task === undefined || rank === undefined) return task ?? rank;
  return {
    index: (task.index - 1) * rank.count + rank.index,
    count: task.count * rank.count,
    told: `${task.told} and ${rank.told}`,
    starts: "in turn",
  };
}

/** The task of a Slurm array, `sbatch --array=1-16`. A single task is no share. */
function arrayTask(variable: Variables): Shard | undefined {
  const told = "SLURM_ARRAY_TASK_ID";
  if (variable(told) === undefined) return undefined;
  const [id, least, most, count] = [told, ...["MIN", "MAX", "COUNT"].map((end) => `SLURM_ARRAY_TASK_${end}`)]
    .map((name) => natural(variable, name)) as [number, number, number, number];
  if (count === 1) return undefined;
  const step = (most - least) / (count - 1);
  const index = 1 + (id - least) / step;
  if (!Number.isInteger(index) || !Number.isInteger(step) || index < 1 || index > count) {
    throw new UsageError(
      `Cannot tell the share of task ${id} in a Slurm array of ${count} tasks from ${least} to ${most}: ` +
        "give even steps, such as --array=1-16, or --shard 3/16, or --shard off for all points",
    );
  }
  return { index, count, told, starts: "in turn" };
}

/** The rank that a launcher gave this process; undefined where it launched one alone. */
function launchedRank(variable: Variables): Shard | undefined {
  const found = LAUNCHERS.map(([, ...names]) => names)
    .find((names) => names.every((name) => variable(name) !== undefined));
  if (found === undefined) return undefined;
  const [rank, count] = found.map((name) => natural(variable, name)) as [number, number];
  if (count === 1) return undefined;
  if (rank >= count) {
    throw new UsageError(`Expected ${found[0]} below ${found[1]}, which is ${count}, but found ${rank}`);
  }
  return { index: rank + 1, count, told: found[0], starts: "together" };
}

function natural(variable: Variables, name: string): number {
  const text = variable(name);
  if (text === undefined || !/^[0-9]{1,9}$/.test(text)) {
    throw new UsageError(
      `Expected the variable ${name} to be an integer but found ${
        text === undefined ? "none" : `"${text}"`
      }; ` +
        "--shard 3/16 says the share, --shard off ignores the variables",
    );
  }
  return Number(text);
}

/** "shard 3 of 16". */
export const shardName = ({ index, count }: Share): string => `shard ${index} of ${count}`;

/** What a shard says when it starts. */
export const startNote = (shard: Shard, own: readonly string[]): string =>
  `This is ${shardName(shard)}, by ${shard.told}: it begins with ${
    own.length === 0 ? "no point" : own.join(", ")
  }` +
  (shard.told === "--shard" ? "" : "; --shard off runs all points");
