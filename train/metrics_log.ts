/**
 * A metrics file: one JSON object per line, in the order of steps, each written as a whole as soon as it is
 * known. A run that resumes from a checkpoint first truncates what was logged after its step (and a last line
 * torn by a kill), so that the file ends up like that of an uninterrupted run.
 */

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
 * @throws {Deno.errors.AlreadyExists} when there is one already; resume it or choose another name.
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
  return openLog(file, newFile(file), 0);
}

function newFile(file: string): Deno.FsFile {
  try {
    return Deno.openSync(file, { write: true, createNew: true });
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AlreadyExists)) throw cause;
    throw new Deno.errors.AlreadyExists(`Cannot start ${file}: it exists, perhaps by a run that goes on`, {
      cause,
    });
  }
}

/**
 * Continues a file after `step`: keeps lines up to and including that step, removes the rest. A file that
 * does not exist is created.
 *
 * @throws {Deno.errors.Busy} when a running process writes it.
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
  const handle = Deno.openSync(file, { read: true, write: true, create: true });
  try {
    if (!locked(handle)) throw new Deno.errors.Busy(`Cannot resume ${file}: another run writes it`);
    const bytes = Deno.readFileSync(file);
    const end = keptBytes(file, bytes, step);
    if (end < bytes.length) handle.truncateSync(end);
    handle.seekSync(end, Deno.SeekMode.Start);
  } catch (error) {
    handle.close();
    throw error;
  }
  return openLog(file, handle, step);
}

/**
 * Locks out other runs until the handle is closed or the process ends: two in one folder would corrupt each
 * other's checkpoints. False if another run has the lock. Some file systems have no locks, and those of
 * Windows would lock out readers.
 */
function locked(handle: Deno.FsFile): boolean {
  if (Deno.build.os === "windows") return true;
  try {
    return handle.tryLockSync(true);
  } catch {
    return true;
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
    throw new SyntaxError(`Cannot resume ${file} line ${line}: it is not JSON`, { cause });
  }
  const step = typeof entry === "object" && entry !== null && "step" in entry ? entry.step : undefined;
  if (typeof step !== "number") {
    throw new SyntaxError(`Cannot resume ${file} line ${line}: it has no number "step"`);
  }
  return step;
}

function openLog(file: string, handle: Deno.FsFile, from: number): MetricsLog {
  locked(handle);
  let last = from;
  return {
    append(entry) {
      const { step } = entry;
      if (!Number.isInteger(step) || step < last) {
        throw new RangeError(`Cannot log step ${step} to ${file}: expected an integer from ${last}`);
      }
      writeWhole(file, handle, new TextEncoder().encode(JSON.stringify(entry, finite) + "\n"));
      last = step;
    },
    [Symbol.dispose]() {
      handle.close();
    },
  };
}

function writeWhole(file: string, handle: Deno.FsFile, bytes: Uint8Array): void {
  try {
    for (let done = 0; done < bytes.length;) done += handle.writeSync(bytes.subarray(done));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot write metrics to ${file}: ${reason}`, { cause });
  }
}

function finite(_name: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}
