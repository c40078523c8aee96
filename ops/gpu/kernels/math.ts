/**
 * Elementary functions of f32 in WGSL. The built-in exp, log, sin and tanh may be off by 2^-11 and more;
 * these are as accurate as the other backends' (2.5e-7), on every adapter. Polynomials fitted by
 * tests/oracles/wasm_polynomials.py. Checked against the reference by tests/ops/gpu/elementwise.test.ts.
 */

/** Infinity and NaN are tested by their bits: compilers may assume that neither occurs. */
export const SPECIAL: string = `
var<private> infinity_bits: u32 = 0x7f800000u;
var<private> nan_bits: u32 = 0x7fc00000u;
fn infinity() -> f32 { return bitcast<f32>(infinity_bits); }
fn nan() -> f32 { return bitcast<f32>(nan_bits); }
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_infinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }
fn is_negative_infinity(x: f32) -> bool { return bitcast<u32>(x) == 0xff800000u; }
fn copy_sign(x: f32, sign: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}
fn larger(a: f32, b: f32) -> f32 {
  if (is_nan(a)) { return a; }
  if (is_nan(b)) { return b; }
  return select(b, a, a > b);
}
fn smaller(a: f32, b: f32) -> f32 {
  if (is_nan(a)) { return a; }
  if (is_nan(b)) { return b; }
  return select(b, a, a < b);
}
`;

/**
 * A value whose origin compilers cannot see, for error terms that they would otherwise simplify to zero: (a +
 * b) − a is not b. Kernels that use it have an argument `zero`, always 0.
 */
export const OPAQUE: string = `
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) | args.zero); }
`;

/** e^x = 2^n e^r with |r| ≤ ln 2 / 2 and a polynomial for e^r; log x from x = 2^e m with m near 1. */
export const EXP_LOG: string = `
fn power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(n + 127) << 23u); }
fn exp_(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  let clamped = clamp(x, -120.0, 90.0);
  let n = round(clamped * 1.44269504);
  // ln 2 in two parts. The first is 22713 / 2^15 and its product a whole number, since a compiler may join n a + n b.
  let r = fma(n, -1.4286068e-6, clamped - f32(i32(n) * 22713) * 3.0517578125e-5);
  let q = fma(fma(fma(fma(1.3950476e-3, r, 8.368882e-3), r, 4.1666206e-2), r, 0.16666518), r, 0.5);
  let y = fma(r * r, q, r) + 1.0;
  // In two factors, so that the result may be infinite or subnormal.
  let half = i32(n) >> 1u;
  return y * power_of_two(half) * power_of_two(i32(n) - half);
}
fn log_(x: f32) -> f32 {
  if (is_nan(x) || x < 0.0) { return nan(); }
  if (x == 0.0) { return -infinity(); }
  if (is_infinite(x)) { return x; }
  let tiny = x < 1.17549435e-38;
  let scaled = select(x, x * 16777216.0, tiny);
  let bits = bitcast<i32>(scaled);
  let e = (bits - 0x3f3504f3) >> 23u; // from the square root of a half on
  let f = bitcast<f32>(bits - (e << 23u)) - 1.0;
  let n = f32(e) - select(0.0, 24.0, tiny);
  var p = fma(0.06746601, f, -0.11675641);
  p = fma(p, f, 0.11888175);
  p = fma(p, f, -0.124055915);
  p = fma(p, f, 0.14219551);
  p = fma(p, f, -0.16667996);
  p = fma(p, f, 0.20002119);
  p = fma(p, f, -0.2500001);
  p = fma(p, f, 0.33333313);
  let f2 = f * f;
  let low = fma(f2, -0.5, fma(f2 * f, p, n * 1.4286068e-6));
  return fma(n, 0.69314575, f + low);
}
`;

/** tanh, the sigmoid, and functions derived from them. */
export const SIGMOIDS: string = `
fn tanh_(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  let a = abs(x);
  let u = a * a;
  var p = fma(-5.717037e-3, u, 2.0650579e-2);
  p = fma(p, u, -5.3743497e-2);
  p = fma(p, u, 0.13331491);
  p = fma(p, u, -0.33333284);
  let near = fma(a * u, p, a);
  let z = exp_(-2.0 * a);
  return copy_sign(select((1.0 - z) / (1.0 + z), near, a < 0.625), x);
}
fn sigmoid_(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  let z = exp_(-abs(x));
  let d = 1.0 / (1.0 + z);
  return select(d, z * d, x < 0.0);
}
fn silu_(x: f32) -> f32 { return x * sigmoid_(x); }
fn gelu_tanh_(x: f32) -> f32 {
  let u = x * (0.7978846 * fma(x * x, 0.044715, 1.0));
  return x * sigmoid_(u + u); // (1 + tanh u) / 2 is the sigmoid of 2u, which keeps the left tail precise
}
`;

/** erf by an odd polynomial below 1, and 1 − erfc above, with erfc(z) = e^(−z²) times a polynomial in 1 / (1 + z/2). */
export const ERF: string = `
fn erfc_positive(z: f32) -> f32 {
  let w = 1.0 / fma(z, 0.5, 1.0);
  var q = fma(9.436355e-3, w, -0.10819521);
  q = fma(q, w, 0.39459282);
  q = fma(q, w, -0.62585396);
  q = fma(q, w, 0.38605666);
  q = fma(q, w, -0.08032668);
  q = fma(q, w, 0.21967305);
  q = fma(q, w, 0.2398199);
  q = fma(q, w, 0.28272638);
  q = fma(q, w, 0.28207064);
  return w * exp_(-(z * z)) * q;
}
fn erf_small(a: f32) -> f32 {
  let u = a * a;
  var p = fma(7.889119e-5, u, -8.020841e-4);
  p = fma(p, u, 5.189535e-3);
  p = fma(p, u, -2.6854444e-2);
  p = fma(p, u, 0.112836);
  p = fma(p, u, -0.37612626);
  p = fma(p, u, 1.1283792);
  return a * p;
}
fn erf_(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  let a = abs(x);
  if (a < 1.0) { return copy_sign(erf_small(a), x); }
  return copy_sign(1.0 - erfc_positive(min(a, 11.0)), x);
}
fn gelu_(x: f32) -> f32 {
  let t = x * 0.70710678;
  let a = abs(t);
  if (a < 1.0) { return x * (0.5 + copy_sign(0.5 * erf_small(a), t)); }
  let tail = 0.5 * erfc_positive(min(a, 11.0));
  return x * select(1.0 - tail, tail, t < 0.0);
}
`;

/** sin and cos of |x| up to about 10^4: the nearest multiple of π/2 is subtracted in three parts. */
export const CIRCULAR: string = `
fn quarter_turns(x: f32, turn: i32) -> f32 {
  if (is_nan(x) || is_infinite(x)) { return nan(); }
  let k = round(x * 0.63661975);
  // 1.5703125 is 201 / 128.
  var r = x - f32(i32(k) * 201) * 0.0078125;
  r = fma(k, -4.837512969970703e-4, r);
  r = fma(k, -7.549789948768648e-8, r);
  let u = r * r;
  let sine = fma(r * u, fma(fma(fma(2.7183116e-6, u, -1.9839335e-4), u, 8.333329e-3), u, -0.16666667), r);
  let cosine = fma(u, fma(fma(fma(2.443845e-5, u, -1.3887368e-3), u, 4.1666646e-2), u, -0.5), 1.0);
  let quarter = (i32(k) + turn) & 3;
  let y = select(sine, cosine, (quarter & 1) == 1);
  return select(y, -y, quarter >= 2);
}
fn sin_(x: f32) -> f32 { return quarter_turns(x, 0); }
fn cos_(x: f32) -> f32 { return quarter_turns(x, 1); }
`;

/**
 * a^b: integer exponents by repeated squaring, others by e^(b log a), whose relative error grows with |b log
 * a|.
 */
export const POWER: string = `
fn power_(a: f32, b: f32) -> f32 {
  if (is_nan(a) || is_nan(b)) { return nan(); }
  if (b == 0.0) { return 1.0; }
  let whole = round(b) == b;
  if (whole && abs(b) <= 64.0) {
    var y = 1.0;
    var square = a;
    for (var n = u32(abs(b)); n > 0u; n >>= 1u) {
      if ((n & 1u) == 1u) { y *= square; }
      square *= square;
    }
    return select(y, 1.0 / y, b < 0.0);
  }
  if (a < 0.0 && !whole) { return nan(); }
  let y = exp_(b * log_(abs(a)));
  let odd = whole && abs(b) < 16777216.0 && (i32(b) & 1) == 1;
  return select(y, -y, a < 0.0 && odd);
}
`;

/** All of them. */
export const MATH: string = SPECIAL + EXP_LOG + SIGMOIDS + ERF + CIRCULAR + POWER;
