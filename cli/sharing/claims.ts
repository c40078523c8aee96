/**
 * Points held by one process at a time, in a folder that many share. A claim is a file that can be created once:
 * `<point>.<n>.json`, n from 0. A point whose holder died is taken up by creating the next number, which one process alone
 * can do. Nothing is ever unlocked or deleted, so nothing can stay locked, and no file is created twice.
 */
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { isMissing, systemCode, writeAt } from "../../platform/files.ts";
import { BEAT, heartbeat, timeOf } from "./heartbeat.ts";
import { type Owner, runs, thisProcess } from "./owner.ts";

/** How far a point is. */
export type PointStatus =
  /** Nobody has begun it, or who did has let it go or is dead. */
  | { readonly state: "free" }
  | { readonly state: "held"; readonly by: Owner | undefined }
  | { readonly state: "finished"; readonly by: Owner; readonly turn: number }
  | { readonly state: "failed"; readonly by: Owner; readonly turn: number; readonly message: string };

/** A point of this process. */
export interface Claim {
  /** Whether another process has taken the point up: this one gave no sign of life for too long. */
  lost(): boolean;
  finish(): Promise<void>;
  /** The point itself is at fault: others do not try it again. */
  fail(message: string): Promise<void>;
  /** Others may take it up. */
  release(): Promise<void>;
}

/** The claims in a folder. */
export interface Claims extends Disposable {
  readonly owner: Owner;
  /**
   * Takes a point that is free. Gives its status when it is not.
   *
   * @param failedTurn Takes also a point that failed at this turn.
   */
  take(name: string, failedTurn?: number): Promise<Claim | PointStatus>;
  status(name: string): PointStatus;
}

/** A point that is done. */
export type Outcome = Extract<PointStatus, { readonly turn: number }>;

/** What a claim's file says. */
interface Written {
  readonly by: Owner;
  readonly state?: "finished" | "failed" | "released";
  readonly message?: string;
}

/**
 * Opens the claims in a folder, which is made where it is missing.
 *
 * @param beat How often to give a sign of life, and for how long others may give none; both in ms.
 */
export function openClaims(
  folder: string,
  { every, patience }: typeof BEAT = BEAT,
  owner: Owner = thisProcess(),
): Claims {
  const alive = `${folder}/alive`;
  mkdirSync(alive, { recursive: true });
  const beating = heartbeat(`${alive}/${owner.nonce}`, every);
  const isDead = ({ written, time }: Found): boolean => {
    const running = written === undefined ? undefined : runs(written.by, owner);
    if (running !== undefined) return !running;
    const sign = written === undefined ? undefined : opened(`${alive}/${written.by.nonce}`)?.time;
    return timeOf(`${alive}/${owner.nonce}`) - Math.max(time, sign ?? 0) > patience;
  };
  const statusOf = (claim: Found | undefined): PointStatus => {
    const outcome = outcomeIn(claim);
    if (claim === undefined || outcome !== undefined) return outcome ?? { state: "free" };
    const { written } = claim;
    return written?.state === "released" || isDead(claim)
      ? { state: "free" }
      : { state: "held", by: written?.by };
  };
  const claimOf = (name: string, turn: number): Claim => {
    const path = fileOf(folder, name, turn);
    const write = (state: Written["state"], message?: string): Promise<void> =>
      writeTextAtomically(
        path,
        JSON.stringify({ by: owner, state, ...message !== undefined && { message } }),
      );
    return {
      lost: () => opened(fileOf(folder, name, turn + 1)) !== undefined,
      finish: () => write("finished"),
      fail: (message) => write("failed", message),
      release: () => write("released"),
    };
  };
  return {
    owner,
    status: (name) => statusOf(last(folder, name)),
    take: async (name, failedTurn) => {
      for (;;) {
        const claim = last(folder, name);
        const status = statusOf(claim);
        const again = status.state === "failed" && status.turn === failedTurn;
        if (status.state !== "free" && !again) return status;
        const turn = claim === undefined ? 0 : claim.turn + 1;
        if (created(fileOf(folder, name, turn), JSON.stringify({ by: owner }))) return claimOf(name, turn);
        // Another was first. On NFS its file may be seen some seconds later.
        await new Promise((done) => setTimeout(done, 20));
      }
    },
    [Symbol.dispose]: () => beating[Symbol.dispose](),
  };
}

/** How a point ended, in a folder of claims; undefined when it has not, or the folder is not there. */
export const outcomeOf = (folder: string, name: string): Outcome | undefined => outcomeIn(last(folder, name));

function outcomeIn(claim: Found | undefined): Outcome | undefined {
  if (claim?.written === undefined) return undefined;
  const { written: { state, by, message = "" }, turn } = claim;
  if (state === "finished") return { state, by, turn };
  return state === "failed" ? { state, by, turn, message } : undefined;
}

interface Found {
  readonly turn: number;
  /** Absent where the file is empty: its writer has just made it, or died over it. */
  readonly written?: Written;
  readonly time: number;
}

/** The last turn of a point. */
function last(folder: string, name: string): Found | undefined {
  for (let [turn, found] = [0, undefined as Found | undefined];; turn++) {
    const file = opened(fileOf(folder, name, turn));
    if (file === undefined) return found;
    found = { turn, ...file };
  }
}

const fileOf = (folder: string, name: string, turn: number): string => `${folder}/${name}.${turn}.json`;

/** Makes a file that was not there; false when it was. */
export function created(path: string, text: string): boolean {
  let file;
  try {
    file = openSync(path, "wx");
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
  try {
    writeAt(file, 0, new TextEncoder().encode(text));
    fsyncSync(file);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  return true;
}

/** A file's JSON, absent where it is not whole, and its time; undefined where there is no file. Opening asks the server. */
function opened(path: string): { readonly written?: Written; readonly time: number } | undefined {
  let file;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    const time = fstatSync(file).mtimeMs;
    const text = readFileSync(file, "utf8");
    try {
      const written = JSON.parse(text) as Written;
      return typeof written === "object" ? { written, time } : { time };
    } catch {
      return { time };
    }
  } finally {
    closeSync(file);
  }
}
