/**
 * A process's signs of life for processes on other machines: a file that it writes again and again. A thread does it, so
 * that a long step does not look like death. The time of the last sign is that of the file system, for whoever reads it:
 * clocks of machines may differ.
 */
import { closeSync, fstatSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { startWorker } from "../../platform/worker.ts";

/** How often a process gives a sign, in ms, and how long it may give none before its points are free. */
export const BEAT: { readonly every: number; readonly patience: number } = {
  every: 10_000,
  patience: 60_000,
};

/** Writes `path` every `every` ms until it is disposed, and removes it then. */
export function heartbeat(path: string, every: number = BEAT.every): Disposable {
  timeOf(path);
  const worker = startWorker(BEATING, () => {});
  worker.send({ path, every });
  return {
    [Symbol.dispose]: () => {
      worker.end();
      rmSync(path, { force: true });
    },
  };
}

/** A thread's program. The file is not made again where it was removed; a sign that fails is followed by another. */
const BEATING = `async ({ path, every }) => {
  const { closeSync, fsyncSync, openSync, writeSync } = await import("node:fs");
  setInterval(() => {
    try {
      const file = openSync(path, "r+");
      try {
        writeSync(file, "+", 0);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    } catch {}
  }, every);
}`;

/** Writes a file, and returns the time, in ms, that the file system says it was written. */
export function timeOf(path: string): number {
  const file = openSync(path, "w");
  try {
    writeSync(file, "+");
    fsyncSync(file);
    return fstatSync(file).mtimeMs;
  } finally {
    closeSync(file);
  }
}
