/** A comparison whose results are kept in a folder, which several processes may share: each trains some of the methods. */
import { mkdirSync, readdirSync } from "node:fs";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { rangeError } from "../../errors/error.ts";
import { optionalFile } from "../../io/tokenizer_files.ts";
import { isMissing } from "../../platform/files.ts";
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
import { note } from "../terminal/output.ts";
import type { MethodResult } from "./method.ts";

/** A comparison in a folder. */
export interface KeptComparison {
  readonly folder: string;
  readonly agreement: Agreement;
  /** What the methods are called, in their order. */
  readonly titles: readonly string[];
  /** Prints the results that there are, in the methods' order; at least one. */
  tell(results: readonly MethodResult[]): void;
}

const resultOf = (folder: string, point: string): string => `${folder}/results/${point}.json`;

/** A name of a file for a method at its place in the comparison. */
export const pointName = (place: number, named: string): string =>
  `${place + 1}_${named.replace(/[^A-Za-z0-9.+-]/g, "_").slice(-80)}`;

/**
 * Trains the methods that are this process's to train, and keeps their results. One process tells them: the only one, or the
 * one that finds all done.
 *
 * @param measure Trains and measures a method.
 * @throws {RangeError} when the folder holds something else, or a comparison with other options.
 */
export async function compareShared(
  comparison: KeptComparison,
  shard: Shard | undefined,
  measure: (method: number) => Promise<MethodResult>,
): Promise<void> {
  const { folder, agreement, titles } = comparison;
  const { points } = agreement;
  checkFolder(folder);
  mkdirSync(`${folder}/results`, { recursive: true });
  await agree(folder, agreement, isFinished(folder));
  await announce(folder, shard, titles);
  using claims = openClaims(claimsOf(folder));
  let failed = false;
  const perform = async (i: number): Promise<string | undefined> => {
    const path = resultOf(folder, points[i]!);
    if (await optionalFile(path) !== undefined) return undefined; // whoever wrote it died before it said so
    try {
      const result = await measure(i);
      await writeTextAtomically(path, `${JSON.stringify(result, null, 2)}\n`);
      return undefined;
    } catch (error) {
      if (!(error instanceof Error) || error instanceof Exit || isOfDisk(error)) throw error;
      note(`Failed: ${error.message}`);
      failed = true;
      return error.message;
    }
  };
  const sharing: Sharing = { folder, claims, shard, points, perform };
  const ending = await shareOut(sharing);
  if (shard !== undefined) note(endingNote(sharing, ending));
  if (shard === undefined || tellsResult(sharing, ending)) await tellKept(comparison);
  if (failed) throw new Exit(1);
}

/**
 * Tells the results that there are, and names what is missing.
 *
 * @throws {Exit} when something is.
 */
export async function tellKept(comparison: KeptComparison): Promise<void> {
  const { folder, agreement: { points, options }, titles } = comparison;
  const before = await agreed(folder);
  if (before !== undefined) checkOptions(folder, before, options);
  const kept = await Promise.all(points.map(async (point) => {
    const bytes = await optionalFile(resultOf(folder, point));
    return bytes === undefined ? undefined : JSON.parse(new TextDecoder().decode(bytes)) as MethodResult;
  }));
  const results = kept.filter((result) => result !== undefined);
  if (results.length > 0) comparison.tell(results);
  if (results.length === points.length) return;
  const outcomes = points.map((point) => outcomeOf(claimsOf(folder), point)?.state);
  const left = titles.filter((_, i) => kept[i] === undefined && outcomes[i] !== "failed");
  const failed = titles.filter((_, i) => outcomes[i] === "failed");
  if (failed.length > 0) note(`Failed: ${failed.join(", ")}`);
  if (left.length > 0) note(`Not finished in ${folder}: ${left.join(", ")}`);
  if (left.length > 0) noteUnseen(folder);
  throw new Exit(1);
}

function checkFolder(folder: string): void {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (entries.length > 0 && !entries.includes(SHARING)) {
    throw rangeError(
      "OUTPUT_EXISTS",
      `Cannot write to ${folder}: it holds something else than a comparison; give another folder`,
    );
  }
}
