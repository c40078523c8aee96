/**
 * Reads a range of a file in pieces through one small buffer, for callers that copy each piece immediately,
 * so that there is never a second copy of the whole.
 */
import type { ByteSource } from "./byte_source.ts";

/** Bytes per piece: small enough for a core's L2 cache. */
const PIECE = 2 ** 18;

/** The range in order; each piece is overwritten by the next. */
export function* pieces(source: ByteSource, offset: number, length: number): Generator<Uint8Array, void> {
  const room = new Uint8Array(Math.min(length, PIECE));
  for (let done = 0; done < length; done += room.length) {
    const piece = room.subarray(0, Math.min(room.length, length - done));
    source.readInto(offset + done, piece);
    yield piece;
  }
}
