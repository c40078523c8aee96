/** Lines of UTF-8, cut at the byte level: no UTF-8 sequence contains a line feed. */

/** One line that is not blank. */
export interface Line {
  /** From 1, blank lines counted. */
  readonly line: number;
  /** Where its bytes begin. */
  readonly offset: number;
  /** Without its line feed and without a byte order mark; valid until the next line is requested. */
  readonly bytes: Uint8Array;
}

/** The lines that are not blank. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let pending: Uint8Array[] = [];
  let line = 1;
  let offset = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const bytes = joined(pending, chunk.subarray(from, end));
      yield* usable({ line, offset, bytes });
      pending = [];
      line++;
      offset += bytes.length + 1;
      from = end + 1;
    }
    if (from < chunk.length) pending.push(chunk.slice(from));
  }
  yield* usable({ line, offset, bytes: joined(pending, new Uint8Array(0)) });
}

/** How many of the first bytes are a byte order mark. */
export function markLength(bytes: Uint8Array): number {
  return bytes[0] === 0xEF && bytes[1] === 0xBB && bytes[2] === 0xBF ? 3 : 0;
}

/** The line without a byte order mark, or nothing when it is blank. */
function* usable({ line, offset, bytes }: Line): Generator<Line> {
  const skip = line === 1 ? markLength(bytes) : 0;
  const rest = bytes.subarray(skip);
  const blank = rest.every((byte) => byte === 32 || byte === 9 || byte === 13);
  if (!blank) yield { line, offset: offset + skip, bytes: rest };
}

/** Chunks as one array. */
export function joined(chunks: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  if (chunks.length === 0) return last;
  const all = [...chunks, last];
  const bytes = new Uint8Array(all.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of all) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
