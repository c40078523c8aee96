/**
 * Points shared out over processes that meet in a folder: each begins with its own, then takes up what others left or died
 * over. Which process runs a point changes nothing of its result.
 */
import { createHash } from "node:crypto";
import { note } from "../terminal/output.ts";
import { countsSeen, markSeen, shardNames, SHARING, unseen } from "./agreement.ts";
import { type Claims, created, type PointStatus } from "./claims.ts";
import { type Shard, shardName, startNote } from "./shard.ts";
import { rangeError } from "../../errors/error.ts";

/** A command's points. */
export interface Sharing {
  /** Of the results. */
  readonly folder: string;
  readonly claims: Claims;
  /** Undefined: all points are this process's own. */
  readonly shard: Shard | undefined;
  /** Different names of the points. */
  readonly points: readonly string[];
  /**
   * Performs a point, or finds it finished.
   *
   * @returns What is wrong with the point itself, where something is.
   * @throws When the process cannot go on; others may take up the point.
   */
  perform(point: number): Promise<string | undefined>;
}

/** How a process's part ended. */
export interface Ending {
  /** How far each point is. */
  readonly statuses: readonly PointStatus[];
  /** Points that this process performed. */
  readonly performed: readonly number[];
}

/** Intervals in ms. */
const [POLL, APPEAR] = [500, 60_000];

/** Performs points until none is left for this process. */
export async function shareOut(sharing: Sharing): Promise<Ending> {
  const { claims, points, shard, folder, perform } = sharing;
  const { index, count } = shard ?? { index: 1, count: 1 };
  const began = performance.now();
  const performed: number[] = [];
  const owners = points.map((_, i) => 1 + i % count);
  const own = points.flatMap((_, i) => owners[i] === index ? [i] : []);
  const others = points.flatMap((_, i) => owners[i] === index ? [] : [i]);
  // What failed before is tried again by whose point it is; what fails from now on is not.
  const failedBefore = new Map(own.flatMap((i) => {
    const status = claims.status(points[i]!);
    return status.state === "failed" ? [[i, status.turn] as const] : [];
  }));
  let said: string | undefined;
  for (;;) {
    const missing = shard === undefined ? [] : unseen(folder, count);
    const open = [...own, ...others.filter((i) => !missing.includes(owners[i]!))];
    const held: Extract<PointStatus, { state: "held" }>[] = [];
    let took = false;
    for (const i of open) {
      const claim = await claims.take(points[i]!, failedBefore.get(i));
      if ("state" in claim) {
        if (claim.state === "held") held.push(claim);
        continue;
      }
      took = true;
      let fault;
      try {
        fault = await perform(i);
      } catch (error) {
        await claim.release().catch(() => {}); // the disk may be full
        throw error;
      }
      if (claim.lost()) {
        note(`Another process has taken up ${points[i]}: this one gave no sign of life for too long`);
        continue;
      }
      performed.push(i);
      await (fault === undefined ? claim.finish() : claim.fail(fault));
      break; // its own points come first again
    }
    if (took) continue;
    const isTogether = shard?.starts === "together";
    const waits = shard?.starts !== "in turn" && held.length > 0;
    const appearing = isTogether && missing.length > 0;
    if (appearing && performance.now() - began > APPEAR) {
      throw rangeError(
        "FILE_INVALID",
        `Expected all ranks to meet in ${folder} but ${shardNames(missing, count)} never came: ` +
          "is it on a disk that all machines share?",
      );
    }
    if (!waits && !appearing) break;
    const who = held.map(({ by }) => by === undefined ? "another process" : `${by.host}, process ${by.pid}`);
    const now = appearing ? shardNames(missing, count) : [...new Set(who)].join("; ");
    if (now !== said) note(`Waiting for ${now}`);
    said = now;
    await new Promise((done) => setTimeout(done, POLL));
  }
  return { statuses: points.map((point) => claims.status(point)), performed };
}

/** Says what a shard begins with, and leaves its mark; names are those of all points. */
export async function announce(
  folder: string,
  shard: Shard | undefined,
  names: readonly string[],
): Promise<void> {
  if (shard === undefined) return;
  note(startNote(shard, names.filter((_, i) => i % shard.count === shard.index - 1)));
  await markSeen(folder, shard);
}

/** Says which shards a folder's points were parted into that were never seen. */
export function noteUnseen(folder: string): void {
  for (const count of countsSeen(folder)) {
    const missing = unseen(folder, count);
    if (missing.length > 0) note(notSeen(folder, missing, count));
  }
}

/** What a shard says when it ends: what it ran, and what is left, by whom. */
export function endingNote({ folder, shard, points }: Sharing, { statuses, performed }: Ending): string {
  const { count } = shard!;
  const ran = performed.length === 0 ? "ran no point" : `ran ${performed.map((i) => points[i]).join(", ")}`;
  const left = (state: PointStatus["state"]): readonly string[] =>
    points.filter((_, i) => statuses[i]!.state === state);
  const missing = unseen(folder, count);
  return [
    `This was ${shardName(shard!)}: it ${ran}.`,
    ...left("held").length > 0 ? [`Others still run ${left("held").join(", ")}.`] : [],
    ...left("free").length > 0 ? [`Nobody has begun ${left("free").join(", ")}.`] : [],
    ...missing.length > 0 ? [notSeen(folder, missing, count)] : [],
  ].join(" ");
}

/** What is said of shards that left no mark. */
const notSeen = (folder: string, missing: readonly number[], count: number): string =>
  `${capital(shardNames(missing, count))} ${
    missing.length === 1 ? "was" : "were"
  } never seen in ${folder}: not started yet, or writing elsewhere because the disk is not shared.`;

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Whether every point is finished or failed. */
export const isComplete = (statuses: readonly PointStatus[]): boolean =>
  statuses.every(({ state }) => state === "finished" || state === "failed");

/** Whether this process is the one that tells the result: of all that find the points done, one does. */
export function tellsResult({ folder, points }: Sharing, { statuses }: Ending): boolean {
  if (!isComplete(statuses)) return false;
  const turns = statuses.map((
    status,
    i,
  ) => [points[i], status.state, "turn" in status && status.turn]);
  const hash = createHash("sha256").update(JSON.stringify(turns)).digest("hex").slice(0, 16);
  return created(`${folder}/${SHARING}/told.${hash}`, "");
}
