/** How much memory the machine has, and how much of it is free. */
import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import process from "node:process";

/** Bytes of the machine, or of the container that the program runs in. */
export interface MachineMemory {
  readonly total: number;
  /** What a program can have now, caches of files counted as free. */
  readonly free: number;
}

/** The machine's memory; undefined where the program may not ask. */
export function machineMemory(): MachineMemory | undefined {
  try {
    const [total, free] = [
      totalmem(),
      process.platform === "linux" ? availableOf("/proc/meminfo") : undefined,
    ];
    const machine = { total, free: free ?? freemem() };
    const most = limitOf("/sys/fs/cgroup/memory.max");
    if (most === undefined || most >= total) return machine;
    const used = limitOf("/sys/fs/cgroup/memory.current") ?? 0;
    return { total: most, free: Math.min(machine.free, Math.max(0, most - used)) };
  } catch {
    return undefined; // a permission is missing
  }
}

/** `MemAvailable` of Linux, in bytes. */
function availableOf(path: string): number | undefined {
  const kilobytes = /^MemAvailable:\s*(\d+) kB$/m.exec(textOf(path) ?? "")?.[1];
  return kilobytes === undefined ? undefined : 1024 * Number(kilobytes);
}

/** A number of a control group; undefined where there is none, or it is "max". */
function limitOf(path: string): number | undefined {
  const text = textOf(path)?.trim();
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
