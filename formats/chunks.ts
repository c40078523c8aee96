/**
 * Reads a range of a file in chunks through one small buffer, for callers that copy each chunk immediately,
 * so that there is never a second copy of the whole.
 */
import type { ByteSource } from "./byte_source.ts";

/** Bytes per chunk: small enough for a core's L2 cache. */
const CHUNK = 2 ** 18;

/** The range in order; each chunk is overwritten by the next. */
export function* chunks(source: ByteSource, offset: number, length: number): Generator<Uint8Array, void> {
  const room = new Uint8Array(Math.min(length, CHUNK));
  for (let done = 0; done < length; done += room.length) {
    const chunk = room.subarray(0, Math.min(room.length, length - done));
    source.readInto(offset + done, chunk);
    yield chunk;
  }
}
