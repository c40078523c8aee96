/** A range of a file in pieces of one small buffer, for whoever copies each on at once: no second copy of the whole ever lives. */
import type { ByteSource } from "./byte_source.ts";

/** Bytes of a piece: few enough for a core's second cache. */
const PIECE = 2 ** 18;

/** The range from first to last; each piece is overwritten by the next. */
export function* pieces(source: ByteSource, offset: number, length: number): Generator<Uint8Array, void> {
  const room = new Uint8Array(Math.min(length, PIECE));
  for (let done = 0; done < length; done += room.length) {
    const piece = room.subarray(0, Math.min(room.length, length - done));
    source.readInto(offset + done, piece);
    yield piece;
  }
}
