/**
 * The tables of codebooks as one run of f32 that kernels read: values, bounds between them, codes in
 * ascending order.
 */
import { book, type Codebook, SIGNED, UNSIGNED } from "../../tensor/codebook.ts";
import type { CodebookType, DType } from "../../tensor/dtype.ts";

const FOUR_BIT: readonly CodebookType[] = ["nf4", "fp4", "int4", "e2m1", "e3m0"];

const BOOKS: readonly (readonly [name: string, Codebook])[] = [
  ...FOUR_BIT.map((dtype) => [dtype, book(dtype)] as const),
  ["dynamic8", SIGNED],
  ["udynamic8", UNSIGNED],
];

/** The positions of one codebook's parts, as f32 indices; `count` is the number of bounds. */
export interface TablePlace {
  readonly values: number;
  readonly bounds: number;
  readonly count: number;
  readonly codes: number;
}

/** Bytes of all tables. */
export const TABLE_BYTES = 8192;

/** The position of a dtype's tables: those of its codes, not of the second level of a double type. */
export function tableOf(dtype: DType): TablePlace {
  const name = dtype.replace("_double", "");
  let at = 0;
  for (const [own, { values, bounds, codes }] of BOOKS) {
    if (own === name) {
      const start = at + values.length;
      return { values: at, bounds: start, count: bounds.length, codes: start + bounds.length };
    }
    at += values.length + bounds.length + codes.length;
  }
  return { values: 0, bounds: 0, count: 0, codes: 0 };
}

/**
 * Indices of constants that a compiler must not see as constants, since it might reorder a product or invert
 * a divisor.
 */
export const STEPS_AT: number = TABLE_BYTES / 4 - 2;
export const INVERSE_127_AT: number = TABLE_BYTES / 4 - 1;

/** The bytes of all tables. */
export function tableBytes(): Uint8Array {
  const numbers = BOOKS.flatMap(([, { values, bounds, codes }]) => [...values, ...bounds, ...codes]);
  const bytes = new Uint8Array(TABLE_BYTES);
  const floats = new Float32Array(bytes.buffer);
  floats.set(numbers);
  floats[STEPS_AT] = 65535;
  floats[INVERSE_127_AT] = 7.874015718698502e-3; // bitsandbytes multiplies by it instead of dividing by 127
  return bytes;
}
