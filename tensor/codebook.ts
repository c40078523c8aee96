/**
 * The sixteen values of each four-bit type, indexed by code, and the 256 values of the 8-bit dynamic types.
 *
 * nf4, fp4: the tables of QLoRA (arXiv 2305.14314) as bitsandbytes stores them in f32. int4: the code is a
 * four-bit two's complement integer c, the value is c / 7; code 8 (−8) is never encoded. e2m1, e3m0: the code
 * is sign · exponent · mantissa; the largest magnitude is scaled to 1.
 */
import type { CodebookType } from "./dtype.ts";
import { pow } from "../elementary/power.ts";

/**
 * A codebook with its search tables: `codes` in ascending order of value, `bounds` the f32 midpoints between
 * them.
 */
export interface Codebook {
  readonly values: Float32Array;
  readonly codes: readonly number[];
  readonly bounds: Float32Array;
}

function codebook(values: readonly number[], codes: readonly number[]): Codebook {
  const table = Float32Array.from(values);
  const bounds = Float32Array.from(
    codes.slice(1),
    (code, i) => Math.fround(table[code]! + table[codes[i]!]!) / 2,
  );
  return { values: table, codes, bounds };
}

/** Code of the nearest value; ties go to the lower one. x must lie in [-1, 1]. */
export function nearest(book: Codebook, x: number): number {
  let low = 0;
  let high = book.bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (book.bounds[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return book.codes[low]!;
}

const NF4 = [
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635],
  ...[-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725],
  ...[0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941],
  ...[0.7229568362236023, 1],
];
/** Negative values mirror the positive ones, with the top bit set. */
const signed = (magnitudes: readonly number[]): readonly number[] => [
  ...magnitudes,
  ...magnitudes.map((m) => 0 - m), // no −0: both codes of zero decode to +0, as in bitsandbytes
];
const FP4 = signed([0, 0.0625 / 12, 8 / 12, 1, 4 / 12, 0.5, 2 / 12, 0.25]);
const INT4 = [0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1].map((c) => c / 7);
const E2M1 = signed([0, 0.5, 1, 1.5, 2, 3, 4, 6].map((m) => m / 6));
const E3M0 = signed([0, 0.25, 0.5, 1, 2, 4, 8, 16].map((m) => m / 16));
/** Codes of a sign-and-magnitude table in ascending order, without the second zero (code 8). */
const ASCENDING = [15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7];

const BOOKS: { readonly [type in CodebookType]: Codebook } = {
  nf4: codebook(NF4, [...NF4.keys()]),
  // bitsandbytes keeps both zeros, so a positive value that rounds to zero gets code 8.
  fp4: codebook(FP4, [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3]),
  int4: codebook(INT4, [9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]),
  e2m1: codebook(E2M1, ASCENDING),
  e3m0: codebook(E3M0, ASCENDING),
};

/** The table of a four-bit type. */
export function book(dtype: CodebookType): Codebook {
  return BOOKS[dtype];
}

/**
 * The dynamic 8-bit map (arXiv 1511.04561, 2110.02861): for every decade 10^(i − 6), i = 0 … 6, the midpoints of
 * equal steps from 0.1 to 1 (2^i of them with a sign, twice as many without), then 0 and 1, sorted.
 */
export function dynamicMap(sign: "signed" | "unsigned"): Codebook {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const steps = sign === "signed" ? 2 ** i : 2 ** (i + 1);
    const decade = Math.fround(pow(10, i - 6));
    const edges = linspace(steps + 1);
    for (let j = 0; j < steps; j++) {
      const middle = Math.fround(decade * Math.fround(Math.fround(edges[j]! + edges[j + 1]!) / 2));
      values.push(middle);
      if (sign === "signed") values.push(-middle);
    }
  }
  values.sort((a, b) => a - b);
  return codebook(values, [...values.keys()]);
}

/**
 * n equal steps from 0.1 to 1, each computed from the nearer end with a single rounding to f32, as in torch.
 */
function linspace(n: number): readonly number[] {
  const start = Math.fround(0.1);
  const step = Math.fround(Math.fround(1 - start) / (n - 1));
  return Array.from(
    { length: n },
    (_, i) => Math.fround(i < n / 2 ? start + step * i : 1 - step * (n - 1 - i)),
  );
}

/** Signed map: block scales under double quantization, first moments. */
export const SIGNED: Codebook = dynamicMap("signed");

/** Unsigned map: second moments. */
export const UNSIGNED: Codebook = dynamicMap("unsigned");
