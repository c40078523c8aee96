/**
 * The largest elements of several tensors taken together: the weights that a mask keeps. Values are ranked by
 * their bits, in two counting passes of 16 bits, so they are never all copied, sorted or concatenated.
 * Asynchronous, since it reads tensors.
 */
import { bytesOf, type Tensor } from "../tensor/mod.ts";
import { rangeError, typeError } from "../errors/error.ts";

/** Which elements equal to the smallest one kept are included: the first ones, or all. */
export type Ties = "first" | "all";

/**
 * Row-major indices of the k largest elements of f32 tensors, one ascending list per tensor. With `ties:
 * "all"` every element equal to the k-th is included, so there may be more.
 *
 * @throws {RangeError} when k is not an integer from 0 up to the number of elements, or an element is NaN.
 * @example
 * ```ts
 * import { largest } from "@graft/peft/ops";
 * import { reference, tensor } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const backend = reference();
 * const parts = [tensor([3, -1, 2], { backend }), tensor([[5, 2]], { backend })];
 * assert.deepEqual(await largest(parts, 3), [Int32Array.of(0, 2), Int32Array.of(0)]);
 * ```
 */
export async function largest(
  parts: readonly Tensor[],
  k: number,
  ties: Ties = "first",
): Promise<readonly Int32Array[]> {
  const total = parts.reduce((n, t) => n + t.size, 0);
  if (!Number.isInteger(k) || k < 0 || k > total) {
    throw rangeError("INVALID_ARGUMENT", `Expected to keep from 0 up to ${total} elements but found ${k}`);
  }
  if (k === 0) return parts.map(() => new Int32Array(0));
  const high = await counted(parts, (bits) => bits >>> 16);
  const upper = bucketOf(high, k);
  const low = await counted(parts, (bits) => bits >>> 16 === upper.bucket ? bits & 0xFFFF : -1);
  const lower = bucketOf(low, k - upper.above);
  const threshold = upper.bucket * 0x10000 + lower.bucket;
  let equal = ties === "all" ? Infinity : k - upper.above - lower.above;
  const found: Int32Array[] = [];
  for (const part of parts) {
    const indices: number[] = [];
    const words = await rankedBits(part);
    for (let i = 0; i < words.length; i++) {
      const bits = words[i]!;
      if (bits > threshold || (bits === threshold && equal-- > 0)) indices.push(i);
    }
    found.push(Int32Array.from(indices));
  }
  return found;
}

/** How many elements of all parts fall into each of 2^16 buckets. */
async function counted(parts: readonly Tensor[], bucket: (bits: number) => number): Promise<Float64Array> {
  const counts = new Float64Array(0x10000);
  for (const part of parts) {
    const words = await rankedBits(part);
    for (let i = 0; i < words.length; i++) {
      const b = bucket(words[i]!);
      if (b >= 0) counts[b]!++;
    }
  }
  return counts;
}

/** The bucket that holds the k-th largest element, and how many elements are above it. */
function bucketOf(counts: Float64Array, k: number): { readonly bucket: number; readonly above: number } {
  let above = 0;
  for (let bucket = 0xFFFF; bucket >= 0; bucket--) {
    const here = counts[bucket]!;
    if (above + here >= k) return { bucket, above };
    above += here;
  }
  throw rangeError("INVALID_ARGUMENT", `Expected at least ${k} elements but found ${above}`);
}

/** The bits of f32 values, transformed so that their order as unsigned integers is that of the values. */
async function rankedBits(x: Tensor): Promise<Uint32Array> {
  if (x.dtype !== "f32") {
    throw typeError("INVALID_ARGUMENT", `Expected f32 numbers to rank but found ${x.dtype}`);
  }
  const words = new Uint32Array((await bytesOf(x)).buffer);
  for (let i = 0; i < words.length; i++) {
    const bits = words[i]! === 0x80000000 ? 0 : words[i]!; // −0 is 0
    if ((bits & 0x7FFFFFFF) > 0x7F800000) {
      throw rangeError("NOT_FINITE", `Cannot rank elements: number ${i} of [${x.shape.join(", ")}] is NaN`);
    }
    words[i] = bits >>> 31 === 1 ? ~bits : bits | 0x80000000;
  }
  return words;
}
