/** Reads a GGUF header front to back through a window, never past the end of the file. */
import type { ByteSource } from "./byte_source.ts";
import { rangeError, syntaxError } from "../errors/error.ts";

/** A position in a header that advances with each read. */
export interface Cursor {
  /** Bytes read so far. */
  offset(): number;
  /** Bytes left in the file. */
  remaining(): number;
  /** The next `length` bytes as a view that is valid until the next read. `what` is for error messages. */
  take(what: string, length: number): DataView;
  /** A 64-bit count of items that take at least `least` bytes each, checked against the file's size. */
  count(what: string, least: number): number;
  /** A string: a length and that many bytes of UTF-8. */
  text(what: string): string;
}

const WINDOW = 1 << 20;

/** A cursor at the start of a source. */
export function cursor(source: ByteSource): Cursor {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let window: Uint8Array = new Uint8Array(0);
  let start = 0; // the window's offset in the file
  let at = 0; // the next byte's offset in the file
  const take = (what: string, length: number): DataView => {
    if (length > source.byteLength - at) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read ${source.name}: ${what} takes ${length} bytes at ${at} but the file has ${source.byteLength}`,
      );
    }
    if (at + length > start + window.length) {
      window = source.read(at, Math.min(Math.max(length, WINDOW), source.byteLength - at));
      start = at;
    }
    const view = new DataView(window.buffer, window.byteOffset + at - start, length);
    at += length;
    return view;
  };
  const count = (what: string, least: number): number => {
    const n = take(what, 8).getBigUint64(0, true);
    if (n * BigInt(least) > BigInt(source.byteLength - at)) {
      throw rangeError(
        "FILE_INVALID",
        `Cannot read ${source.name}: ${what} claims ${n} but only ${source.byteLength - at} bytes follow`,
      );
    }
    return Number(n);
  };
  return {
    offset: () => at,
    remaining: () => source.byteLength - at,
    take,
    count,
    text(what) {
      const view = take(what, count(`the length of ${what}`, 1));
      try {
        return decoder.decode(view);
      } catch {
        throw syntaxError(
          "FILE_INVALID",
          `Cannot read ${source.name}: ${what} at byte ${at - view.byteLength} is not UTF-8`,
        );
      }
    },
  };
}
