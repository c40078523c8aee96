//! Elementary functions of four f32 lanes. The polynomials were fitted by `tests/oracles/wasm_polynomials.py`; worst
//! relative errors measured against f64 by `tests/ops/wasm/elementwise.test.ts`: exp, tanh, sigmoid, erf, log 2.5e-7.

use crate::simd::*;

#[inline(always)]
fn horner<const N: usize>(x: V, c: [f32; N]) -> V {
    let mut y = splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        y = madd(y, x, splat(c[i]));
    }
    y
}

/// Adding and subtracting it rounds a small number to an integer, which stands in the low bits meanwhile.
const MAGIC: f32 = 12_582_912.0; // 1.5 · 2^23

/// x = n ln 2 + r with |r| ≤ ln 2 / 2; gives n as an integer and e^r. NaN stays in e^r.
#[inline(always)]
fn split_exp(x: V) -> (V, V) {
    let shifted = madd(x, splat(core::f32::consts::LOG2_E), splat(MAGIC));
    let n = sub(shifted, splat(MAGIC));
    // ln 2 in two parts; the first has 15 bits, so n times it is exact.
    let r = nmadd(n, splat(0.693_145_75), x);
    let r = nmadd(n, splat(1.428_606_8e-6), r);
    let q = horner(r, [0.5, 0.166_665_18, 0.041_666_206, 0.008_368_882, 0.001_395_047_6]);
    (i32x4_sub(shifted, splat(MAGIC)), add(madd(mul(r, r), q, r), splat(1.0)))
}

/// 2^n for integral lanes in −127..=127; −127 gives 0.
#[inline(always)]
fn power(n: V) -> V {
    i32x4_shl(i32x4_add(n, i32x4_splat(127)), 23)
}

/// e^x. NaN stays, large x gives ∞, small x gives 0.
#[inline(always)]
pub fn exp(x: V) -> V {
    let (n, y) = split_exp(at_least(at_most(x, 90.0), -120.0));
    // In two factors, so that the result may be ∞ or subnormal.
    let half = i32x4_shr(n, 1);
    mul(mul(y, power(half)), power(i32x4_sub(n, half)))
}

/// e^x for x ≤ 88, as differences from a maximum are; below −87.7 it gives 0, and so does −∞. NaN stays.
#[inline(always)]
pub fn exp_negative(x: V) -> V {
    let (n, y) = split_exp(at_least(x, -88.0));
    mul(y, power(n))
}

/// log x; −∞ at 0, NaN below.
#[inline(always)]
pub fn log(x: V) -> V {
    let tiny = f32x4_lt(x, splat(f32::MIN_POSITIVE));
    let scaled = pick(mul(x, splat(16_777_216.0)), x, tiny);
    let offset = i32x4_sub(scaled, i32x4_splat(0x3f35_04f3)); // √½
    let e = i32x4_shr(offset, 23);
    let m = i32x4_sub(scaled, i32x4_shl(e, 23));
    let f = sub(m, splat(1.0));
    let e = sub(f32x4_convert_i32x4(e), v128_and(tiny, splat(24.0)));
    let p = horner(
        f,
        [
            0.333_333_13,
            -0.250_000_1,
            0.200_021_19,
            -0.166_679_96,
            0.142_195_51,
            -0.124_055_915,
            0.118_881_75,
            -0.116_756_41,
            0.067_466_01,
        ],
    );
    let f2 = mul(f, f);
    let low = madd(mul(f2, f), p, mul(e, splat(1.428_606_8e-6)));
    let low = madd(f2, splat(-0.5), low);
    let y = madd(e, splat(0.693_145_75), add(f, low));
    let y = pick(x, y, f32x4_eq(x, splat(f32::INFINITY)));
    let y = pick(splat(f32::NEG_INFINITY), y, f32x4_eq(x, splat(0.0)));
    pick(splat(f32::NAN), y, v128_or(f32x4_lt(x, splat(0.0)), f32x4_ne(x, x)))
}

/// tanh x: odd polynomial below 0.625, (1 − z) / (1 + z) with z = e^−2|x| above.
#[inline(always)]
pub fn tanh(x: V) -> V {
    let sign = v128_and(x, i32x4_splat(i32::MIN));
    let a = v128_andnot(x, i32x4_splat(i32::MIN));
    let u = mul(a, a);
    let p = horner(u, [-0.333_332_84, 0.133_314_91, -0.053_743_497, 0.020_650_579, -0.005_717_037]);
    let small = madd(mul(a, u), p, a);
    let z = exp_negative(mul(a, splat(-2.0)));
    let large = div(sub(splat(1.0), z), add(splat(1.0), z));
    let y = pick(small, large, f32x4_lt(a, splat(0.625)));
    v128_or(y, sign)
}

/// 1 / (1 + e^−x), through e^−|x| so that small results keep their precision.
#[inline(always)]
pub fn sigmoid(x: V) -> V {
    let z = exp_negative(v128_or(x, i32x4_splat(i32::MIN)));
    let d = div(splat(1.0), add(splat(1.0), z));
    pick(mul(z, d), d, f32x4_lt(x, splat(0.0)))
}

/// erfc z for z ≥ 0: e^−z² times a polynomial in w = 1 / (1 + z / 2).
#[inline(always)]
fn erfc_positive(z: V) -> V {
    let w = div(splat(1.0), madd(z, splat(0.5), splat(1.0)));
    let q = horner(
        w,
        [
            0.282_070_64,
            0.282_726_38,
            0.239_819_9,
            0.219_673_05,
            -0.080_326_68,
            0.386_056_66,
            -0.625_853_96,
            0.394_592_82,
            -0.108_195_21,
            0.009_436_355,
        ],
    );
    mul(mul(w, exp_negative(f32x4_neg(mul(z, z)))), q)
}

#[inline(always)]
fn erf_small(a: V) -> V {
    let u = mul(a, a);
    mul(
        a,
        horner(
            u,
            [
                core::f32::consts::FRAC_2_SQRT_PI,
                -0.376_126_26,
                0.112_836,
                -0.026_854_444,
                0.005_189_535,
                -0.000_802_084_1,
                7.889_119e-5,
            ],
        ),
    )
}

#[inline(always)]
pub fn erf(x: V) -> V {
    let sign = v128_and(x, i32x4_splat(i32::MIN));
    let a = v128_andnot(x, i32x4_splat(i32::MIN));
    let large = sub(splat(1.0), erfc_positive(at_most(a, 11.0)));
    let y = pick(erf_small(a), large, f32x4_lt(a, splat(1.0)));
    pick(x, v128_or(y, sign), f32x4_ne(x, x))
}

/// x Φ(x), with Φ(x) = erfc(|x| / √2) / 2 for x < −√2 so that the tail keeps its precision.
#[inline(always)]
pub fn gelu(x: V) -> V {
    let t = mul(x, splat(core::f32::consts::FRAC_1_SQRT_2));
    let a = v128_andnot(t, i32x4_splat(i32::MIN));
    let tail = mul(erfc_positive(at_most(a, 11.0)), splat(0.5));
    let tail = pick(tail, sub(splat(1.0), tail), f32x4_lt(t, splat(0.0)));
    let near = mul(erf_small(a), splat(0.5));
    let near = add(splat(0.5), v128_or(near, v128_and(t, i32x4_splat(i32::MIN))));
    let phi = pick(near, tail, f32x4_lt(a, splat(1.0)));
    // −∞ gives NaN, as in the oracle and in torch; NaN comes through the factor x.
    mul(x, phi)
}

#[inline(always)]
pub fn gelu_tanh(x: V) -> V {
    let u = mul(x, mul(splat(0.797_884_6), madd(mul(x, x), splat(0.044_715), splat(1.0))));
    // ½ (1 + tanh u) = sigmoid(2u), which keeps the precision of the left tail.
    mul(x, sigmoid(add(u, u)))
}

/// cos and sin of 2π u for u in 0..=1: the nearest quarter of a turn is taken off exactly.
#[inline(always)]
pub fn turn(u: V) -> (V, V) {
    let quarter = f32x4_nearest(mul(u, splat(4.0)));
    let r = mul(nmadd(quarter, splat(0.25), u), splat(core::f32::consts::TAU));
    let r2 = mul(r, r);
    let s = madd(mul(r2, r), horner(r2, [-0.166_666_67, 8.333_329e-3, -1.983_933_5e-4, 2.718_311_6e-6]), r);
    let c = madd(r2, horner(r2, [-0.5, 4.166_664_6e-2, -1.388_736_8e-3, 2.443_845e-5]), splat(1.0));
    let q = i32x4_trunc_sat_f32x4(quarter);
    let odd = i32x4_ne(v128_and(q, i32x4_splat(1)), i32x4_splat(0));
    let signed = |y: V, q: V| v128_xor(y, i32x4_shl(v128_and(q, i32x4_splat(2)), 30));
    (signed(pick(s, c, odd), i32x4_add(q, i32x4_splat(1))), signed(pick(c, s, odd), q))
}

#[inline(always)]
pub fn silu(x: V) -> V {
    mul(x, sigmoid(x))
}
