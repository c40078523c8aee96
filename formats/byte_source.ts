/** Sources of a weight file's bytes: a file on disk read by ranges, or bytes in memory. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { readAt } from "../platform/files.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Random access to a run of bytes. */
export interface ByteSource {
  /** For error messages: a path, or the caller's name for the bytes. */
  readonly name: string;
  /** Total number of bytes. */
  readonly byteLength: number;
  /**
   * A new copy of `length` bytes starting at `offset`.
   *
   * @throws {RangeError} when the range is not within the source.
   */
  read(offset: number, length: number): Uint8Array;
  /**
   * Fills `target` with the bytes starting at `offset`.
   *
   * @throws {RangeError} when the range is not within the source.
   */
  readInto(offset: number, target: Uint8Array): void;
  /** Closes the file handle; a later `read` throws. Closing twice is allowed. */
  close(): void;
}

/**
 * Opens a file for reading by ranges (a browser uses `bytesSource`).
 *
 * @throws {TypeError} when the path is not a regular file.
 * @example
 * ```ts
 * import { fileSource } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const path = await Deno.makeTempFile();
 * await Deno.writeFile(path, Uint8Array.of(10, 20, 30, 40));
 * const source = fileSource(path);
 * assert.deepEqual(source.read(1, 2), Uint8Array.of(20, 30));
 * source.close();
 * await Deno.remove(path);
 * ```
 */
export function fileSource(path: string): ByteSource {
  const file = openSync(path, "r");
  const info = fstatSync(file);
  if (!info.isFile()) {
    closeSync(file);
    throw typeError(
      "FILE_INVALID",
      `Expected "${path}" to be a file but found ${info.isDirectory() ? "a folder" : "a device"}`,
    );
  }
  let open = true;
  const check = (offset: number, length: number): void => {
    if (!open) throw typeError("FREED", `Cannot read "${path}": it was closed`);
    checkRange(path, offset, length, info.size);
  };
  const fill = (offset: number, target: Uint8Array): void => {
    const filled = readAt(file, offset, target);
    // The file has been truncated since it was opened.
    if (filled < target.length) {
      throw rangeError("FILE_INVALID", `Cannot read "${path}": it was cut to ${offset + filled} bytes`);
    }
  };
  return {
    name: path,
    byteLength: info.size,
    read(offset, length) {
      check(offset, length);
      const bytes = new Uint8Array(length);
      fill(offset, bytes);
      return bytes;
    },
    readInto(offset, target) {
      check(offset, target.length);
      fill(offset, target);
    },
    close() {
      if (open) closeSync(file);
      open = false;
    },
  };
}

/**
 * A source of bytes in memory.
 *
 * @example
 * ```ts
 * import { bytesSource } from "@graft/peft/formats";
 * import assert from "node:assert/strict";
 * const source = bytesSource("downloaded", Uint8Array.of(10, 20, 30));
 * assert.deepEqual(source.read(1, 2), Uint8Array.of(20, 30));
 * assert.throws(() => source.read(2, 5), RangeError);
 * ```
 */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    byteLength: bytes.length,
    read(offset, length) {
      checkRange(name, offset, length, bytes.length);
      return bytes.slice(offset, offset + length);
    },
    readInto(offset, target) {
      checkRange(name, offset, target.length, bytes.length);
      target.set(bytes.subarray(offset, offset + target.length));
    },
    close() {},
  };
}

function checkRange(name: string, offset: number, length: number, end: number): void {
  if (
    !Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0 ||
    offset + length > end
  ) {
    throw rangeError(
      "FILE_INVALID",
      `Cannot read ${length} bytes at ${offset} of "${name}": it has ${end} bytes`,
    );
  }
}
