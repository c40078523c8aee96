/**
 * exp, log and their relatives in f64 with the same bits in every JavaScript engine. The language leaves `Math.exp` and others to
 * the engine, and their last bits differ; `+ − × ÷` and `Math.sqrt` are exact to the last bit everywhere, and so is what is made
 * of them alone.
 *
 * The ways to reduce an argument, and the polynomials behind them, are those that fdlibm made common (Sun Microsystems 1993; Ng,
 * "Argument reduction for huge arguments", 1992; Tang, "Table-driven implementation of the exponential function", ACM TOMS 15,
 * 1989), with errors below one unit in the last place. `pow` computes in pairs of numbers (Dekker 1971).
 */

/** 2^k for k from −1074 to 1023, each made from the one before without rounding. */
const POWERS: Float64Array = (() => {
  const powers = new Float64Array(2098);
  powers[1074] = 1;
  for (let i = 1075; i < 2098; i++) powers[i] = powers[i - 1]! * 2;
  for (let i = 1073; i >= 0; i--) powers[i] = powers[i + 1]! / 2;
  return powers;
})();

/** 2^k, for k from −1074 to 1023. */
export const powerOfTwo = (k: number): number => POWERS[k + 1074]!;

/** x · 2^k. */
export function scaled(x: number, k: number): number {
  if (k > 1023) return x * powerOfTwo(1023) * powerOfTwo(Math.min(1023, k - 1023));
  if (k >= -1021) return x * powerOfTwo(k);
  return x * powerOfTwo(Math.max(-1074, k + 1000)) * powerOfTwo(-1000);
}

/** The k of 2^k ≤ x < 2^(k + 1), for finite x above 0. */
function exponentOf(x: number): number {
  let [low, high] = [-1074, 1024];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (powerOfTwo(middle) <= x) low = middle;
    else high = middle;
  }
  return low;
}

/** Finite x above 0 as m · 2^k with m from 1 to below 2. */
export function splitAtTwo(x: number): readonly [m: number, k: number] {
  const k = exponentOf(x);
  return [k < -1022 ? (x * powerOfTwo(54)) / powerOfTwo(k + 54) : x / powerOfTwo(k), k];
}

/** ln 2 in two parts; the first has 32 bits, so that its product with an exponent is exact. */
const LN2_HIGH = 6.93147180369123816490e-01;
const LN2_LOW = 1.90821492927058770002e-10;

/** Half of ln 2 and one and a half, rounded to 21 bits. */
const HALF_LN2 = (1 + 0x62e43 / 0x100000) / 4;
const MORE_LN2 = 1 + 0x0a2b2 / 0x100000;

/** r (e^r + 1) / (e^r − 1) = 2 + P1 r² + P2 r⁴ + …, the error below 2^−59 for |r| up to half of ln 2. */
const P1 = 1.66666666666666019037e-01;
const P2 = -2.77777777770155933842e-03;
const P3 = 6.61375632143793436117e-05;
const P4 = -1.65339022054652515390e-06;
const P5 = 4.13813679705723846039e-08;

/** e^x. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (x > 709.782712893384) return Infinity;
  if (x < -745.1332191019411) return 0;
  if (x === 1) return Math.E;
  const size = Math.abs(x);
  let [k, high, low, r] = [0, 0, 0, x];
  if (size >= HALF_LN2) {
    k = size < MORE_LN2 ? (x < 0 ? -1 : 1) : Math.trunc(Math.LOG2E * x + (x < 0 ? -0.5 : 0.5));
    high = x - k * LN2_HIGH;
    low = k * LN2_LOW;
    r = high - low;
  } else if (size < powerOfTwo(-28)) return 1 + x;
  const t = r * r;
  const c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
  if (k === 0) return 1 - ((r * c) / (c - 2) - r);
  return scaled(1 - ((low - (r * c) / (2 - c)) - high), k);
}

/** log((1 + s) / (1 − s)) = 2 s + s R(s²), the error below 2^−58.45 for |s| up to 0.1716. */
const L1 = 6.666666666666735130e-01;
const L2 = 3.999999999940941908e-01;
const L3 = 2.857142874366239149e-01;
const L4 = 2.222219843214978396e-01;
const L5 = 1.818357216161805012e-01;
const L6 = 1.531383769920937332e-01;
const L7 = 1.479819860511658591e-01;

/** The natural logarithm. −Infinity of 0, NaN below. */
export function log(x: number): number {
  if (x === 0) return -Infinity;
  if (!(x > 0)) return NaN;
  if (x === Infinity) return Infinity;
  const [whole, exponent] = splitAtTwo(x);
  const bits = Math.floor((whole - 1) * 0x100000);
  const halved = bits >= 0x6a09c; // about the square root of 2
  const k = halved ? exponent + 1 : exponent;
  const f = (halved ? whole / 2 : whole) - 1;
  if (f >= -powerOfTwo(-20) && f < powerOfTwo(-20)) {
    if (f === 0) return k === 0 ? 0 : k * LN2_HIGH + k * LN2_LOW;
    const rest = f * f * (0.5 - 0.33333333333333333 * f);
    return k === 0 ? f - rest : k * LN2_HIGH - ((rest - k * LN2_LOW) - f);
  }
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6));
  if (bits >= 0x6147a && bits <= 0x6b851) {
    const half = 0.5 * f * f;
    return k === 0
      ? f - (half - s * (half + r))
      : k * LN2_HIGH - ((half - (s * (half + r) + k * LN2_LOW)) - f);
  }
  return k === 0 ? f - s * (f - r) : k * LN2_HIGH - ((s * (f - r) - k * LN2_LOW) - f);
}

/** log(1 + x) for x from −1. Kahan's correction of the sum's rounding. */
export function log1p(x: number): number {
  if (!(x > -1)) return x === -1 ? -Infinity : NaN;
  if (x === Infinity) return Infinity;
  const sum = 1 + x;
  if (sum === 1) return x;
  return log(sum) + (x - (sum - 1)) / sum;
}

/** log₂ x, exact for powers of two. */
export function log2(x: number): number {
  if (!(x > 0) || x === Infinity) return log(x);
  const [whole, k] = splitAtTwo(x);
  return whole === 1
    ? k
    : whole > Math.SQRT2
    ? k + 1 + log(whole / 2) * Math.LOG2E
    : k + log(whole) * Math.LOG2E;
}

/** (e^x − 1) e^(−x)-like quotient's polynomial of expm1, the error below 2^−61. */
const Q1 = -3.33333333333331316428e-02;
const Q2 = 1.58730158725481460165e-03;
const Q3 = -7.93650757867487942473e-05;
const Q4 = 4.00821782732936239552e-06;
const Q5 = -2.01099218183624371326e-07;

/** e^x − 1, exact where x is small. */
export function expm1(x: number): number {
  const size = Math.abs(x);
  if (Number.isNaN(x) || size < powerOfTwo(-54)) return x;
  if (x > 709.782712893384) return Infinity;
  if (x < -38.8162) return -1; // 56 ln 2
  let [k, r, c] = [0, x, 0];
  if (size >= HALF_LN2) {
    k = size < MORE_LN2 ? (x < 0 ? -1 : 1) : Math.trunc(Math.LOG2E * x + (x < 0 ? -0.5 : 0.5));
    const [high, low] = [x - k * LN2_HIGH, k * LN2_LOW];
    r = high - low;
    c = (high - r) - low;
  }
  const half = 0.5 * r;
  const h = r * half;
  const r1 = 1 + h * (Q1 + h * (Q2 + h * (Q3 + h * (Q4 + h * Q5))));
  const t = 3 - r1 * half;
  const e = h * ((r1 - t) / (6 - r * t));
  if (k === 0) return r - (r * e - h);
  const rest = (r * (e - c) - c) - h;
  if (k === -1) return 0.5 * (r - rest) - 0.5;
  if (k === 1) return r < -0.25 ? -2 * (rest - (r + 0.5)) : 1 + 2 * (r - rest);
  if (k <= -2 || k > 56) return scaled(1 - (rest - r), k) - 1;
  return k < 20 ? scaled((1 - powerOfTwo(-k)) - (rest - r), k) : scaled((r - (rest + powerOfTwo(-k))) + 1, k);
}

/** The hyperbolic tangent. */
export function tanh(x: number): number {
  const size = Math.abs(x);
  if (Number.isNaN(x) || size < powerOfTwo(-28)) return x;
  let value = 1;
  if (size < 1) {
    const t = expm1(-2 * size);
    value = -t / (t + 2);
  } else if (size < 22) value = 1 - 2 / (expm1(2 * size) + 2);
  return x < 0 ? -value : value;
}

/** √(a² + b²) without overflow. */
export function hypot(a: number, b: number): number {
  const [large, small] = Math.abs(a) > Math.abs(b) ? [Math.abs(a), Math.abs(b)] : [Math.abs(b), Math.abs(a)];
  if (large === Infinity || small === Infinity) return Infinity;
  if (large === 0) return 0;
  const share = small / large;
  return large * Math.sqrt(1 + share * share);
}
