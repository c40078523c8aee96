/** Sine and cosine in f64 with the same bits in every engine; see `exponential.ts`. */
import { powerOfTwo } from "./exponential.ts";

/** π / 2 in parts of 33 bits, so that their products with a whole number up to 2^20 are exact, and what is left of each. */
const FIRST = 1.57079632673412561417e+00;
const FIRST_REST = 6.07710050650619224932e-11;
const SECOND = 6.07710050630396597660e-11;
const SECOND_REST = 2.02226624879595063154e-21;
const THIRD = 2.02226624871116645580e-21;
const THIRD_REST = 8.47842766036889956997e-32;

/** π / 4, rounded up to 21 bits. */
const QUARTER = (1 + 0x921fc / 0x100000) / 2;
const MEDIUM = 0x100000 * (Math.PI / 2);

/** x without whole quarters of a turn: their number modulo 4, and what is left in two parts. */
interface Reduced {
  readonly quarters: number;
  readonly high: number;
  readonly low: number;
}

/** Cody and Waite's reduction in up to three steps, the next where the last lost too much to cancellation. */
function reduced(x: number): Reduced {
  const size = Math.abs(x);
  if (size > MEDIUM) return reducedExactly(x);
  const n = Math.floor(size * (2 / Math.PI) + 0.5);
  let r = size - n * FIRST;
  let w = n * FIRST_REST;
  let high = r - w;
  if (Math.abs(high) < size / 0x10000) {
    const before = r;
    w = n * SECOND;
    r = before - w;
    w = n * SECOND_REST - ((before - r) - w);
    high = r - w;
    if (Math.abs(high) < size * powerOfTwo(-49)) {
      const last = r;
      w = n * THIRD;
      r = last - w;
      w = n * THIRD_REST - ((last - r) - w);
      high = r - w;
    }
  }
  const low = (r - high) - w;
  return x < 0 ? { quarters: (4 - n % 4) % 4, high: -high, low: -low } : { quarters: n % 4, high, low };
}

/** Bits behind the point with which large arguments are reduced: more than any f64 loses. */
const BITS = 1200n;

/** arctan(1 / n) · 2^bits by its series. */
function arctangent(n: bigint, bits: bigint): bigint {
  let term = (1n << bits) / n;
  let sum = term;
  for (let i = 3n; term !== 0n; i += 2n) {
    term = -term / (n * n);
    sum += term / i;
  }
  return sum;
}

/** Reduction by whole numbers, with π from Machin's formula. */
function reducedExactly(x: number): Reduced {
  let [mantissa, shift] = [Math.abs(x), BITS];
  while (mantissa >= 2 * powerOfTwo(52)) [mantissa, shift] = [mantissa / 2, shift + 1n];
  while (!Number.isInteger(mantissa)) [mantissa, shift] = [mantissa * 2, shift - 1n];
  const quarter = 2n * (4n * arctangent(5n, BITS) - arctangent(239n, BITS)); // π / 2
  const exact = BigInt(mantissa) << shift;
  const n = (2n * exact + quarter) / (2n * quarter);
  const rest = exact - n * quarter;
  const high = Number(rest >> (BITS - 60n)) / powerOfTwo(60);
  const low = Number((rest - (BigInt(high * powerOfTwo(60)) << (BITS - 60n))) >> (BITS - 120n)) /
    powerOfTwo(120);
  const quarters = Number(n % 4n);
  return x < 0 ? { quarters: (4 - quarters) % 4, high: -high, low: -low } : { quarters, high, low };
}

/** sin x = x + S1 x³ + …, the error below 2^−58 for |x| up to π / 4. */
const S1 = -1.66666666666666324348e-01;
const S2 = 8.33333333332248946124e-03;
const S3 = -1.98412698298579493134e-04;
const S4 = 2.75573137070700676789e-06;
const S5 = -2.50507602534068634195e-08;
const S6 = 1.58969099521155010221e-10;

function sineOf(x: number, low: number): number {
  const z = x * x;
  const v = z * x;
  const r = S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)));
  return x - ((z * (0.5 * low - v * r) - low) - v * S1);
}

/** cos x = 1 − x² / 2 + C1 x⁴ + …, the error below 2^−58 for |x| up to π / 4. */
const C1 = 4.16666666666666019037e-02;
const C2 = -1.38888888888741095749e-03;
const C3 = 2.48015872894767294178e-05;
const C4 = -2.75573143513906633035e-07;
const C5 = 2.08757232129817482790e-09;
const C6 = -1.13596475577881948265e-11;

function cosineOf(x: number, low: number): number {
  const z = x * x;
  const half = 0.5 * z;
  const w = 1 - half;
  const r = z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6)))));
  return w + (((1 - w) - half) + (z * r - x * low));
}

/** The sine. NaN of what is not finite. */
export function sin(x: number): number {
  if (!Number.isFinite(x)) return NaN;
  if (Math.abs(x) < powerOfTwo(-26)) return x;
  if (Math.abs(x) < QUARTER) return sineOf(x, 0);
  const { quarters, high, low } = reduced(x);
  const value = quarters % 2 === 0 ? sineOf(high, low) : cosineOf(high, low);
  return quarters < 2 ? value : -value;
}

/** The cosine. NaN of what is not finite. */
export function cos(x: number): number {
  if (!Number.isFinite(x)) return NaN;
  if (Math.abs(x) < QUARTER) return cosineOf(x, 0);
  const { quarters, high, low } = reduced(x);
  const value = quarters % 2 === 0 ? cosineOf(high, low) : sineOf(high, low);
  return quarters === 0 || quarters === 3 ? value : -value;
}
