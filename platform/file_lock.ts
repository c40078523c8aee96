/**
 * Locks of files among processes. Deno has the system's own, which end with the process; Node and Bun have none, so a file
 * beside the locked one names its holder there.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { deno, type DenoRuntime } from "./deno.ts";
import { systemCode } from "./files.ts";

/** A lock that this process holds until it releases it or ends. */
export interface FileLock {
  release(): void;
}

/** Locks out other processes that ask for the same file's lock; "taken" when one has it. The file must exist. */
export function lockFile(path: string): FileLock | "taken" {
  return deno === undefined ? lockBeside(path) : lockItself(deno, path);
}

const NONE: FileLock = { release: () => {} };

/** Some file systems have no locks, and those of Windows would lock out readers. */
function lockItself({ build, openSync }: DenoRuntime, path: string): FileLock | "taken" {
  if (build.os === "windows") return NONE;
  const file = openSync(path, { write: true });
  try {
    if (file.tryLockSync(true)) return { release: () => file.close() };
  } catch {
    return { release: () => file.close() };
  }
  file.close();
  return "taken";
}

/** By a file `<path>.lock` with the holder's number: one that a killed process left is taken over. */
export function lockBeside(locked: string): FileLock | "taken" {
  const path = `${locked}.lock`;
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      writeFileSync(path, String(process.pid), { flag: "wx" });
      return { release: () => rmSync(path, { force: true }) };
    } catch (error) {
      if (systemCode(error) !== "EEXIST") throw error;
      if (isRunning(holderOf(path))) return "taken";
      rmSync(path, { force: true });
    }
  }
  return "taken";
}

function holderOf(path: string): number {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0; // it was released meanwhile
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}
