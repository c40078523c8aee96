/**
 * What all processes of a folder agree on: the options of the runs, and which points there are. The first one writes it, the
 * others compare theirs; each leaves a mark, so that one that writes to another folder of the same name is missed.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import metadata from "../../deno.json" with { type: "json" };
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { parseJson } from "../../formats/strict_json.ts";
import { exists } from "../../io/path_exists.ts";
import { changedOption } from "../../tuning/run_identity.ts";
import { created, outcomeOf } from "./claims.ts";
import { shardName, type Share } from "./shard.ts";
import { rangeError } from "../../errors/error.ts";

/** Where processes meet, in the folder of their results. */
export const SHARING = "sharing";

/** Where the claims of its points are. */
export const claimsOf = (folder: string): string => `${folder}/${SHARING}/claims`;

/** Whether a point of a folder is finished. */
export const isFinished = (folder: string) => (point: string): boolean =>
  outcomeOf(claimsOf(folder), point)?.state === "finished";

const settingsOf = (folder: string, n: number): string => `${folder}/${SHARING}/settings.${n}.json`;

/** What processes must agree on. */
export interface Agreement {
  /** Names and values, as JSON. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What makes the points, such as the grid. */
  readonly plan: Readonly<Record<string, unknown>>;
  /** The points' names. */
  readonly points: readonly string[];
  /** Where "auto" computes. */
  readonly backend?: string;
}

/** The processes of a folder want different things. */
export class Disagreement extends RangeError {
  /** What went wrong, for programs. */
  readonly code: "CANNOT_RESUME" = "CANNOT_RESUME";

  override readonly name = "Disagreement";
}

/**
 * Agrees on the points with the other processes of a folder, and returns what is agreed on. An agreement whose points are all
 * finished gives way to another plan, as when a sweep is continued with a larger grid.
 *
 * @param finished Whether a point is.
 * @throws {Disagreement} naming the first difference.
 */
export async function agree(
  folder: string,
  mine: Agreement,
  finished: (point: string) => boolean,
): Promise<Agreement> {
  mkdirSync(`${folder}/${SHARING}`, { recursive: true });
  const text = `${JSON.stringify({ version: metadata.version, ...mine }, null, 2)}\n`;
  for (let n = 0;; n++) {
    const path = settingsOf(folder, n);
    if (created(path, text)) return mine;
    const theirs = await readWhole(path);
    if (exists(settingsOf(folder, n + 1))) continue;
    checkOptions(folder, theirs, mine.options);
    if (changedOption(theirs.plan, mine.plan) === undefined) return theirs;
    if (!theirs.points.every(finished)) compare(folder, "plan", theirs.plan, mine.plan);
  }
}

/** What others agreed on in a folder; undefined where none have. */
export async function agreed(folder: string): Promise<Kept | undefined> {
  for (let n = 0, found;; n++) {
    const path = settingsOf(folder, n);
    if (!exists(path)) return found;
    found = await readWhole(path);
  }
}

/**
 * Compares the options of one's own runs with those that others agreed on.
 *
 * @throws {Disagreement} naming the first difference.
 */
export function checkOptions(folder: string, theirs: Kept, mine: Agreement["options"]): void {
  compare(folder, "options", { version: theirs.version, ...theirs.options }, {
    version: metadata.version,
    ...mine,
  });
}

function compare(
  folder: string,
  what: "options" | "plan",
  theirs: Readonly<Record<string, unknown>>,
  mine: Readonly<Record<string, unknown>>,
): void {
  const changed = changedOption(theirs, mine);
  if (changed === undefined) return;
  const { name, was, is } = changed;
  if (name === "version") {
    throw new Disagreement(`Cannot share ${folder}: it was begun by graft ${was}, and this is graft ${is}`);
  }
  if (name === "data") throw new Disagreement(`Cannot share ${folder}: --data has other bytes than there`);
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new Disagreement(
    `Cannot share ${folder}: --${option} is ${was} there and ${is} here; all processes of a folder take the same options` +
      (what === "plan" ? ", or others when all of its points are finished" : ""),
  );
}

/** An agreement as it is kept. */
export type Kept = Agreement & { readonly version?: string };

/** A file that another process may be writing at this moment. @throws {RangeError} when it remains empty. */
async function readWhole(path: string): Promise<Kept> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const bytes = readFileSync(path);
    if (bytes.at(-1) === 10) return parseJson(path, bytes) as Kept;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw rangeError("FILE_INVALID", `Cannot read ${path}: it is not whole, its writer was killed; delete it`);
}

/** Leaves a mark that a shard was here. */
export async function markSeen(folder: string, share: Share): Promise<void> {
  mkdirSync(`${folder}/${SHARING}/shards`, { recursive: true });
  const mark = { host: hostname(), pid: process.pid };
  await writeTextAtomically(markOf(folder, share), `${JSON.stringify(mark)}\n`);
}

/** The shards, of as many, that left no mark yet. */
export function unseen(folder: string, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i + 1)
    .filter((index) => !exists(markOf(folder, { index, count })));
}

/** Into how many shards the points of a folder were parted, by the marks that shards left. */
export function countsSeen(folder: string): readonly number[] {
  const marks = exists(`${folder}/${SHARING}/shards`) ? readdirSync(`${folder}/${SHARING}/shards`) : [];
  return [...new Set(marks.flatMap((name) => /-of-(\d+)\.json$/.exec(name)?.[1] ?? []).map(Number))];
}

const markOf = (folder: string, { index, count }: Share): string =>
  `${folder}/${SHARING}/shards/${index}-of-${count}.json`;

/** "shards 2 and 3 of 4". */
export const shardNames = (indices: readonly number[], count: number): string =>
  indices.length === 1
    ? shardName({ index: indices[0]!, count })
    : `shards ${indices.slice(0, -1).join(", ")} and ${indices.at(-1)} of ${count}`;
