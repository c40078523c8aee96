/**
 * Indices and labels out of range. A kernel cannot throw, so it records a mark: two words per op, the
 * position (plus one) and the violated limit; the next read finds them and throws. Until then such an index
 * reads or adds nothing.
 */
import { rangeError } from "../../errors/error.ts";

/** The offset of each op's mark, in words, and its message. */
export const MARKS = {
  gatherRows: { slot: 0 },
  scatterAddRows: { slot: 2 },
  gatherLast: { slot: 4 },
  scatterAddLast: { slot: 6 },
  crossEntropy: { slot: 8 },
} as const;

/**
 * WGSL function for kernels with `args.slot` that write `marks`: records an index `at` that violates `limit`.
 */
export const MARK: string = `
fn mark(at: u32, limit: u32) {
  atomicMax(&marks[args.slot], at + 1u);
  atomicStore(&marks[args.slot + 1u], limit);
}
`;

/** Bytes of all marks. */
export const MARK_BYTES = 64;

/** @throws {RangeError} when the bytes hold a mark recorded since the last read. */
export function checkMarks(bytes: Uint8Array): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, MARK_BYTES / 4);
  for (const [op, { slot }] of Object.entries(MARKS)) {
    if (words[slot] === 0) continue;
    const [at, limit] = [words[slot]! - 1, words[slot + 1]!];
    throw rangeError(
      "INVALID_TENSOR",
      op === "crossEntropy"
        ? `Cannot take the crossEntropy of the label in row ${at}: labels are 0 to ${limit - 1}, or -100`
        : `Cannot ${op}: index at position ${at} is outside 0 to ${limit - 1}`,
    );
  }
}
