/**
 * The log-probabilities of a reference in a file, as 32-bit numbers text after text, with a record of what they are of beside it:
 * a run that is resumed reads what an earlier one computed.
 */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import { isMissing, readAt, writeAt } from "../../platform/files.ts";
import type { ReferenceStore } from "../../train/mod.ts";
import { rangeError } from "../../errors/error.ts";

/** An open file. Close it with `using` or `[Symbol.dispose]()`. */
export interface ReferenceFile extends ReferenceStore, Disposable {
  /** Says that all are written. */
  finish(): Promise<void>;
}

/**
 * Opens the file at a path, empty unless it is whole and of the same.
 *
 * @param counts How many tokens each text has.
 * @param identity All that the numbers depend on.
 */
export function openReferenceFile(
  path: string,
  counts: ArrayLike<number>,
  identity: string,
): ReferenceFile {
  const starts = new Float64Array(counts.length + 1);
  for (let i = 0; i < counts.length; i++) starts[i + 1] = starts[i]! + 4 * counts[i]!;
  const size = starts[counts.length]!;
  const mark = `${path}.json`;
  const complete = recorded(mark) === identity && sizeOf(path) === size;
  mkdirSync(dirname(path), { recursive: true });
  if (!complete) rmSync(mark, { force: true });
  const handle = openSync(path, complete ? "r" : "w+");
  return {
    complete,
    write(text, values) {
      if (4 * values.length !== starts[text + 1]! - starts[text]!) {
        throw rangeError(
          "INVALID_ARGUMENT",
          `Expected ${counts[text]} numbers of text ${text} but found ${values.length}`,
        );
      }
      writeAt(handle, starts[text]!, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    },
    read(text) {
      const values = new Float32Array((starts[text + 1]! - starts[text]!) / 4);
      readAt(handle, starts[text]!, new Uint8Array(values.buffer));
      return values;
    },
    finish: () => writeTextAtomically(mark, identity),
    [Symbol.dispose]: () => closeSync(handle),
  };
}

function recorded(path: string): string | undefined {
  return ifThere(() => readFileSync(path, "utf8"));
}

function sizeOf(path: string): number | undefined {
  return ifThere(() => statSync(path).size);
}

function ifThere<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
