/** Operands on a reference backend for the tests beside this file, and the two ways to compare numbers. */
import assert from "node:assert/strict";
import { type DType, type Operand, type Shape, size } from "../../../tensor/mod.ts";
import { decode, encode } from "../../../ops/reference/codecs/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";

export const backend: ReturnType<typeof reference> = reference();

/** An operand with the given numbers. */
export function operand(shape: Shape, data: ArrayLike<number>, dtype: DType = "f32"): Operand {
  const out = blank(shape, dtype);
  encode(dtype, Float64Array.from(data), shape, bytes(out));
  return out;
}

/** An operand full of 0xFF bytes (NaN, −1), so that an element a kernel forgets to write shows. */
export function blank(shape: Shape, dtype: DType = "f32"): Operand {
  const raw = { bytes: new Uint8Array(size(shape) * 8 + 64).fill(0xFF) };
  return { raw, shape, dtype };
}

const bytes = (x: Operand): Uint8Array => (x.raw as { readonly bytes: Uint8Array }).bytes;

/** The numbers of an operand. */
export function values(x: Operand): number[] {
  return Array.from(decode(x.dtype, bytes(x), x.shape));
}

/** Asserts |found − expected| ≤ tolerance · (1 + |expected|) throughout. */
export function close(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  name: string = "",
): void {
  assert.equal(found.length, expected.length, name);
  Array.from(found).forEach((x, i) => {
    const error = Math.abs(x - expected[i]!);
    assert.ok(
      error <= tolerance * (1 + Math.abs(expected[i]!)),
      `${name} [${i}]: found ${x}, expected ${expected[i]}`,
    );
  });
}

/** n numbers in (−1, 1) that look random, the same at every call. */
export function noise(n: number, seed: number = 1): number[] {
  return Array.from({ length: n }, (_, i) => {
    const x = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453;
    return Math.fround(2 * (x - Math.floor(x)) - 1);
  });
}
