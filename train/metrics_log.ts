/**
 * A metrics file: one JSON object per line, in the order of steps, each written as a whole as soon as it is
 * known. A run that resumes from a checkpoint first truncates what was logged after its step (and a last line
 * torn by a kill), so that the file ends up like that of an uninterrupted run.
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync } from "node:fs";
import { systemCode, systemError, writeAt } from "../platform/files.ts";
import { type FileLock, lockFile } from "../platform/file_lock.ts";
import { failure, rangeError, syntaxError } from "../errors/error.ts";

/**
 * One line: the step that it belongs to and the measured values. Steps never decrease from one line to the
 * next.
 */
export interface MetricsEntry {
  /** Steps done. */
  readonly step: number;
  /** Measured values, by name. */
  readonly [name: string]: string | number | boolean;
}

/** An open metrics file. Close it with `using` or `[Symbol.dispose]()`. */
export interface MetricsLog extends Disposable {
  /**
   * Writes one line. NaN and infinities, which JSON lacks, are written as the strings "NaN", "Infinity" and
   * "-Infinity".
   *
   * @throws {RangeError} when the step is not an integer from 0 or is smaller than the last one written.
   * @throws {Error} when the file cannot be written; the message names it.
   */
  append(entry: MetricsEntry): void;
}

/**
 * Starts a new file.
 *
 * @throws {Error} with the code EEXIST when there is one already; resume it or choose another name.
 * @example
 * ```ts
 * import { createMetricsLog } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const folder = await Deno.makeTempDir();
 * using log = createMetricsLog(`${folder}/metrics.jsonl`);
 * log.append({ step: 1, loss: 2.5 });
 * log.append({ step: 2, loss: NaN });
 * const text = await Deno.readTextFile(`${folder}/metrics.jsonl`);
 * assert.equal(text, '{"step":1,"loss":2.5}\n{"step":2,"loss":"NaN"}\n');
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function createMetricsLog(file: string): MetricsLog {
  const handle = newFile(file);
  const lock = lockFile(file);
  // Of two runs, the one that made the file is first, whoever locks it.
  return openLog(file, handle, lock === "taken" ? { release: () => {} } : lock, { step: 0, end: 0 });
}

function newFile(file: string): number {
  try {
    return openSync(file, "wx");
  } catch (cause) {
    if (systemCode(cause) !== "EEXIST") throw cause;
    throw systemError("EEXIST", `Cannot start ${file}: it exists, perhaps by a run that goes on`, cause);
  }
}

/**
 * Continues a file after `step`: keeps lines up to and including that step, removes the rest. A file that
 * does not exist is created.
 *
 * @throws {Error} with the code EBUSY when a running process writes it.
 * @throws {SyntaxError} when a complete line is not a metrics entry; the file is not changed.
 * @example
 * ```ts
 * import { resumeMetricsLog } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const file = await Deno.makeTempFile();
 * await Deno.writeTextFile(file, '{"step":1}\n{"step":2}\n{"st'); // killed while it wrote
 * using log = resumeMetricsLog(file, 1);
 * log.append({ step: 2, loss: 0.5 });
 * assert.equal(await Deno.readTextFile(file), '{"step":1}\n{"step":2,"loss":0.5}\n');
 * await Deno.remove(file);
 * ```
 */
export function resumeMetricsLog(file: string, step: number): MetricsLog {
  const handle = openSync(file, constants.O_RDWR | constants.O_CREAT);
  const lock = lockFile(file);
  try {
    if (lock === "taken") throw systemError("EBUSY", `Cannot resume ${file}: another run writes it`);
    const bytes = readFileSync(file);
    const end = keptBytes(file, bytes, step);
    if (end < bytes.length) ftruncateSync(handle, end);
    return openLog(file, handle, lock, { step, end });
  } catch (error) {
    closeSync(handle);
    if (lock !== "taken") lock.release();
    throw error;
  }
}

/** The length of the leading lines whose step is at most `step`. */
function keptBytes(file: string, bytes: Uint8Array, step: number): number {
  let start = 0;
  for (let line = 1;; line++) {
    const end = bytes.indexOf(10, start);
    if (end === -1) return start;
    if (stepOf(file, line, bytes.subarray(start, end)) > step) return start;
    start = end + 1;
  }
}

function stepOf(file: string, line: number, bytes: Uint8Array): number {
  let entry: unknown;
  try {
    entry = JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw syntaxError("CANNOT_RESUME", `Cannot resume ${file} line ${line}: it is not JSON`, { cause });
  }
  const step = typeof entry === "object" && entry !== null && "step" in entry ? entry.step : undefined;
  if (typeof step !== "number") {
    throw syntaxError("CANNOT_RESUME", `Cannot resume ${file} line ${line}: it has no number "step"`);
  }
  return step;
}

/** Where a log goes on: after which step, and at which byte. */
interface LogEnd {
  readonly step: number;
  readonly end: number;
}

function openLog(file: string, handle: number, lock: FileLock, from: LogEnd): MetricsLog {
  let { step: last, end } = from;
  return {
    append(entry) {
      const { step } = entry;
      if (!Number.isInteger(step) || step < last) {
        throw rangeError(
          "CANNOT_WRITE",
          `Cannot log step ${step} to ${file}: expected an integer from ${last}`,
        );
      }
      const line = new TextEncoder().encode(JSON.stringify(entry, finite) + "\n");
      writeWhole(file, handle, end, line);
      [last, end] = [step, end + line.length];
    },
    [Symbol.dispose]() {
      closeSync(handle);
      lock.release();
    },
  };
}

function writeWhole(file: string, handle: number, end: number, bytes: Uint8Array): void {
  try {
    writeAt(handle, end, bytes);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw failure("CANNOT_WRITE", `Cannot write metrics to ${file}: ${reason}`, { cause });
  }
}

function finite(_name: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
