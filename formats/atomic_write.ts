/**
 * Atomic file writes: bytes are written to a temporary file next to the target and synced to disk before it
 * is renamed. A reader never sees a partial checkpoint, and a crash leaves the old file in place.
 */
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync } from "node:fs";
import { systemCode, writeAt } from "../platform/files.ts";
import { failure } from "../errors/error.ts";

/** A sink for bytes in order. */
export interface ByteSink {
  /** Writes all of the bytes; the buffer may be reused afterwards. */
  write(bytes: Uint8Array): void;
}

/**
 * Writes a file atomically. When `fill` throws, nothing of the new file remains and an old one is unchanged.
 *
 * @param path The target; its folder must exist.
 * @param fill Writes the content incrementally.
 * @throws {Error} when writing fails; the message names the file.
 * @example
 * ```ts
 * import { writeAtomically } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile();
 * await writeAtomically(path, (sink) => {
 *   sink.write(Uint8Array.of(1, 2));
 *   sink.write(Uint8Array.of(3));
 * });
 * const failing = writeAtomically(path, () => {
 *   throw new Error("half way");
 * });
 * await assert.rejects(failing);
 * assert.deepEqual(await Deno.readFile(path), Uint8Array.of(1, 2, 3)); // the old file stays as it was
 * await Deno.remove(path);
 * ```
 */
export async function writeAtomically(
  path: string,
  fill: (sink: ByteSink) => void | Promise<void>,
): Promise<void> {
  const { file, name } = writing(path, () => openTemporary(path));
  try {
    try {
      await fill({
        write: (bytes) => writing(path, () => writeAt(file, null, bytes)),
      });
      writing(path, () => fsyncSync(file));
    } finally {
      closeSync(file);
    }
    writing(path, () => renameSync(name, path));
  } catch (error) {
    unlinkSync(name);
    throw error;
  }
  syncFolder(path);
}

/**
 * Writes a text file atomically, as UTF-8.
 *
 * @example
 * ```ts
 * import { writeTextAtomically } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile();
 * await writeTextAtomically(path, "hello");
 * assert.equal(await Deno.readTextFile(path), "hello");
 * await Deno.remove(path);
 * ```
 */
export function writeTextAtomically(path: string, text: string): Promise<void> {
  return writeAtomically(path, (sink) => sink.write(new TextEncoder().encode(text)));
}

/** Most system errors say what went wrong, but not where. */
function writing<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw failure(
      "CANNOT_WRITE",
      `Cannot write ${path}: ${(cause as Error).message}; what was there before is whole`,
      {
        cause,
      },
    );
  }
}

/** An unused name: `createNew` fails if another writer was first, and then the next number is tried. */
function openTemporary(path: string): { readonly file: number; readonly name: string } {
  for (let n = 0;; n++) {
    const name = `${path}.partial-${n}`;
    try {
      return { name, file: openSync(name, "wx") };
    } catch (error) {
      if (systemCode(error) !== "EEXIST" || n >= 1000) throw error;
    }
  }
}

/** The rename is durable only when the folder is synced; systems that cannot sync a folder do not need it. */
function syncFolder(path: string): void {
  const slash = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  try {
    const folder = openSync(slash < 0 ? "." : path.slice(0, slash + 1), "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // Windows cannot open folders.
  }
}
