/** Shortening a pair of texts to fit together. */
import { rangeError } from "../errors/error.ts";

/**
 * Truncates two lists of ids at their ends to `room` ids in total, as in Hugging Face tokenizers' "longest
 * first": the shorter one is kept whole where that leaves the longer one no shorter than it; else both get
 * half, and the longer one the odd id.
 *
 * @throws {RangeError} when `room` is too small.
 * @example
 * ```ts
 * import { shortened } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.deepEqual(shortened([1, 2, 3, 4, 5], [6, 7], 5), [[1, 2, 3], [6, 7]]);
 * ```
 */
export function shortened(
  first: readonly number[],
  second: readonly number[],
  room: number,
): readonly [first: readonly number[], second: readonly number[]] {
  if (room < 0) {
    throw rangeError("TEXT_TOO_LONG", `Expected room for a pair but found ${room}: raise maxLength`);
  }
  if (first.length + second.length <= room) return [first, second];
  const swapped = first.length > second.length;
  const least = Math.min(first.length, second.length);
  const most = least > room ? least : Math.max(least, room - least);
  const [short, long] = least + most > room ? [Math.floor(room / 2), Math.ceil(room / 2)] : [least, most];
  return swapped
    ? [first.slice(0, long), second.slice(0, short)]
    : [first.slice(0, short), second.slice(0, long)];
}
