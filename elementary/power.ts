/** Powers in f64 with the same bits in every engine; see `exponential.ts`. */
import { powerOfTwo, scaled, splitAtTwo } from "./exponential.ts";

/** A number as the sum of two, the second below half a unit in the last place of the first: about 106 bits. */
type Pair = readonly [high: number, low: number];

/** a + b without error (Knuth). */
function sum(a: number, b: number): Pair {
  const high = a + b;
  const other = high - a;
  return [high, (a - (high - other)) + (b - other)];
}

/** a · b without error, by halves of 26 bits (Dekker 1971, Veltkamp). */
function product(a: number, b: number): Pair {
  const high = a * b;
  const [a1, b1] = [upper(a), upper(b)];
  const [a2, b2] = [a - a1, b - b1];
  return [high, a2 * b2 - (((high - a1 * b1) - a2 * b1) - a1 * b2)];
}

function upper(a: number): number {
  const c = 134217729 * a; // 2^27 + 1
  return c - (c - a);
}

function added([a, b]: Pair, [c, d]: Pair): Pair {
  const [high, low] = sum(a, c);
  return sum(high, low + (b + d));
}

function multiplied([a, b]: Pair, [c, d]: Pair): Pair {
  const [high, low] = product(a, c);
  return sum(high, low + (a * d + b * c));
}

function divided([a, b]: Pair, [c, d]: Pair): Pair {
  const first = a / c;
  const [high, low] = multiplied([first, 0], [c, d]);
  return sum(first, (((a - high) - low) + b) / c);
}

const LN2: Pair = [0.6931471805599453, 2.3190468138462996e-17];

/** 1 / (2 i + 1), the series of the area tangent. */
const ODD: readonly Pair[] = Array.from({ length: 21 }, (_, i) => divided([1, 0], [2 * i + 1, 0]));

/** 1 / i!, the series of the exponential. */
const FACTORIAL: readonly Pair[] = Array.from({ length: 25 }, (_, i) => i).reduce<readonly Pair[]>(
  (found, i) => [...found, i === 0 ? [1, 0] : divided(found[i - 1]!, [i, 0])],
  [],
);

const series = (terms: readonly Pair[], x: Pair): Pair =>
  terms.reduceRight((rest, term) => added(term, multiplied(rest, x)), [0, 0] as Pair);

/** log x of finite x above 0: k ln 2 + 2 artanh((m − 1) / (m + 1)) of x = m 2^k, m from √½ to √2. */
function logarithm(x: number): Pair {
  const [whole, exponent] = splitAtTwo(x);
  const [m, k] = whole > Math.SQRT2 ? [whole / 2, exponent + 1] : [whole, exponent];
  const s = divided([m - 1, 0], sum(m, 1));
  const tangent = multiplied(s, series(ODD, multiplied(s, s)));
  return added(multiplied([k, 0], LN2), added(tangent, tangent));
}

/** e^t. */
function exponential(t: Pair): number {
  if (t[0] > 709.79) return Infinity;
  if (t[0] < -745.14) return 0;
  const n = Math.floor(t[0] * Math.LOG2E + 0.5);
  const [high, low] = series(FACTORIAL, added(t, multiplied([-n, 0], LN2)));
  return scaled(high + low, n);
}

/**
 * base^exponent, with the special cases of `Math.pow`. The error is below 0.51 units in the last place, and a power that a number can
 * hold exactly is exact.
 */
export function pow(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  if (Number.isNaN(base) || Number.isNaN(exponent)) return NaN;
  const size = Math.abs(base);
  const odd = Number.isInteger(exponent) && Math.abs(exponent) < 2 * powerOfTwo(52) && exponent % 2 !== 0;
  if (Math.abs(exponent) === Infinity) return size === 1 ? NaN : (size > 1) === (exponent > 0) ? Infinity : 0;
  if (size === 0 || size === Infinity) {
    const value = (size === 0) === (exponent > 0) ? 0 : Infinity;
    return odd && (base < 0 || Object.is(base, -0)) ? -value : value;
  }
  if (base < 0 && !Number.isInteger(exponent)) return NaN;
  if (Math.abs(exponent) > powerOfTwo(70)) {
    if (size === 1) return 1;
    return (size > 1) === (exponent > 0) ? Infinity : 0;
  }
  const value = size === 1 ? 1 : exponential(multiplied(logarithm(size), [exponent, 0]));
  return base < 0 && odd ? -value : value;
}
