/** What a run of several ranks does otherwise: who writes, what must be the same, when all stop. */
import { cpSync, mkdirSync, rmSync } from "node:fs";
import process from "node:process";
import { agree, rounding } from "../../distributed/agreement.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import type { StateRecord } from "../../io/training_state.ts";
import { exists } from "../../io/path_exists.ts";
import { temporaryFolder } from "../../platform/temporary.ts";
import { type Backend, key } from "../../core/mod.ts";
import {
  gatherJson,
  mostTokens,
  planEpoch,
  type Rows,
  type TrainOptions,
  type World,
} from "../../train/mod.ts";
import type { Interrupt } from "../terminal/interrupt.ts";
import metadata from "../../deno.json" with { type: "json" };
import { rangeError } from "../../errors/error.ts";

/** Interrupts nothing. */
export const NEVER: Interrupt = { wanted: false, [Symbol.dispose]: () => {} };

/**
 * The run's folder as a rank sees it: rank 0 writes; the others read what an earlier run left and write to a folder of their
 * own, which goes with the program.
 */
export function rankFolder(folder: RunFolder, { rank }: World): RunFolder {
  if (rank === 0) return folder;
  const own = temporaryFolder("graft-rank-");
  process.on("exit", () => rmSync(own, { recursive: true, force: true }));
  if (exists(folder.path)) cpSync(folder.path, own, { recursive: true });
  return {
    path: own,
    start: `${own}/checkpoint/start`,
    references: `${own}/checkpoint/reference`,
    state: `${own}/checkpoint/state.safetensors`,
    best: `${own}/checkpoint/best.safetensors`,
    metrics: `${own}/metrics.jsonl`,
    continues: folder.continues,
    create: () => void mkdirSync(`${own}/checkpoint`, { recursive: true }),
    finish: () => {},
  };
}

/** @throws {RangeError} on every rank where one has other data, options, weights, kernels or another version than rank 0. */
export async function agreeOn(world: World, record: StateRecord, backend: Backend): Promise<void> {
  if (world.size === 1) return;
  const { options, base, data, evalData, kernels } = record;
  const each = Object.entries((options ?? {}) as StateRecord)
    .map(([name, value]) => [`--${name}`, JSON.stringify(value)] as const);
  await agree(world, {
    "the version": metadata.version,
    "the model's weights (SHA-256)": String(base),
    "--data (SHA-256)": String(data),
    "--eval-data (SHA-256)": String(evalData ?? "none"),
    "the kernels' build": String(kernels ?? "none"),
    ...Object.fromEntries(each),
    ...await rounding(backend),
  });
}

/**
 * Checks that there is work for every rank.
 *
 * @param rows Those that are trained.
 * @throws {RangeError} when the largest step has fewer chunks than there are ranks.
 */
export function checkWork(
  { size }: World,
  rows: Rows,
  options: Pick<TrainOptions, "batching" | "accumulate" | "chunkTokens">,
): void {
  if (size === 1) return;
  const { batching, accumulate = 1 } = options;
  const chunkTokens = mostTokens(rows, options.chunkTokens);
  const steps = planEpoch(rows, { batching, accumulate, chunkTokens, key: key(0) }, 0);
  const chunks = Math.max(...steps.map(({ microBatches }) => microBatches.length));
  if (chunks < size) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot share the work out to ${size} processes: a step has ${chunks} ${
        chunks === 1 ? "chunk" : "chunks"
      } of at most ${chunkTokens} tokens; give --accumulate ${
        Math.ceil(accumulate * size / chunks)
      }, a larger --batch-size or a smaller --chunk-tokens, or start fewer processes`,
    );
  }
}

/** Whether one of the ranks wants something. */
export const anyRank = async (world: World, own: boolean): Promise<boolean> =>
  world.size === 1 ? own : (await gatherJson(world, own)).includes(true);
