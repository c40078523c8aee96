/**
 * Processes as others see them, on this machine and on others: who holds a point, and whether it still runs. A process
 * number alone does not tell: numbers are used again, and other machines and containers have their own.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import { systemCode } from "../../platform/files.ts";

/** A process. */
export interface Owner {
  readonly host: string;
  /** The host since its last start, and the space in which the process number counts. */
  readonly machine: string;
  readonly pid: number;
  /** When it started, in the system's own ticks; empty where the system does not say. */
  readonly started: string;
  /** No other process has this, whatever else may be equal. */
  readonly nonce: string;
}

/** The running process. */
export function thisProcess(): Owner {
  const machine = [hostname(), read("/proc/sys/kernel/random/boot_id"), link("/proc/self/ns/pid")].join(" ");
  const { pid } = process;
  return { host: hostname(), machine, pid, started: startOf(pid), nonce: crypto.randomUUID() };
}

/** Whether a process runs; undefined where that cannot be told from here: its signs of life must. */
export function runs(owner: Owner, here: Pick<Owner, "machine">): boolean | undefined {
  if (owner.machine !== here.machine) return undefined;
  if (!hasProcess(owner.pid)) return false;
  const started = startOf(owner.pid);
  return owner.started === "" || started === "" ? undefined : started === owner.started;
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === "EPERM";
  }
}

/** Field 22 of Linux' /proc/<pid>/stat; the second, the program's name, may have blanks and brackets. */
function startOf(pid: number): string {
  const fields = read(`/proc/${pid}/stat`).replace(/^.*\) /s, "").split(" ");
  // A process that has ended and was not waited for is none.
  return fields[0] === "Z" || fields[0] === "X" ? "ended" : fields[19] ?? "";
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return ""; // another system, or not allowed
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
