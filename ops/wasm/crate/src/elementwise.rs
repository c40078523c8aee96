//! Element by element: one operand, two with broadcasting, and the choice between two.

use crate::simd::*;
use crate::span::{In, Out};
use crate::walk::Spec;
use crate::{math, pool};

const PIECE: usize = 16_384;

#[inline(always)]
fn lanes(x: V, f: impl Fn(f32) -> f32) -> V {
    f32x4(
        f(f32x4_extract_lane::<0>(x)),
        f(f32x4_extract_lane::<1>(x)),
        f(f32x4_extract_lane::<2>(x)),
        f(f32x4_extract_lane::<3>(x)),
    )
}

#[inline(always)]
fn lanes2(x: V, y: V, f: impl Fn(f32, f32) -> f32) -> V {
    f32x4(
        f(f32x4_extract_lane::<0>(x), f32x4_extract_lane::<0>(y)),
        f(f32x4_extract_lane::<1>(x), f32x4_extract_lane::<1>(y)),
        f(f32x4_extract_lane::<2>(x), f32x4_extract_lane::<2>(y)),
        f(f32x4_extract_lane::<3>(x), f32x4_extract_lane::<3>(y)),
    )
}

/// 1 or 0 from a lane mask.
#[inline(always)]
fn one_where(mask: V) -> V {
    v128_and(mask, splat(1.0))
}

fn sign(x: V) -> V {
    let y = sub(one_where(f32x4_gt(x, splat(0.0))), one_where(f32x4_lt(x, splat(0.0))));
    v128_bitselect(x, y, f32x4_ne(x, x))
}

/// out[i] = op(x[i]); `op` is the index in `UNARY` of codes.ts.
///
/// # Safety
/// x and out are n numbers; out may be x.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn unary(op: u32, x: usize, out: usize, n: usize) {
    // SAFETY: the caller's promise.
    let (x, out) = unsafe { (In::new(x, n), Out::new(out, n)) };
    macro_rules! apply {
        ($picos:expr, $f:expr) => {
            // SAFETY: pieces end at n.
            pool::pieces(n, PIECE, $picos, |start, end| unsafe { map1(x, out, start, end, $f) })
        };
    }
    match op {
        0 => apply!(300, |v| f32x4_neg(v)),
        1 => apply!(2000, math::exp),
        2 => apply!(2500, math::log),
        3 => apply!(1500, |v| f32x4_sqrt(v)),
        4 => apply!(2500, |v| div(splat(1.0), f32x4_sqrt(v))),
        5 => apply!(1500, |v| div(splat(1.0), v)),
        6 => apply!(300, |v| mul(v, v)),
        7 => apply!(300, |v| f32x4_abs(v)),
        8 => apply!(400, sign),
        9 => apply!(20_000, |v| lanes(v, f32::sin)),
        10 => apply!(20_000, |v| lanes(v, f32::cos)),
        11 => apply!(3500, math::tanh),
        12 => apply!(3500, math::sigmoid),
        13 => apply!(3500, math::silu),
        // Not max: NaN must stay, and −0 too.
        14 => apply!(300, |v| v128_andnot(v, f32x4_lt(v, splat(0.0)))),
        15 => apply!(5000, math::gelu),
        16 => apply!(4000, math::gelu_tanh),
        17 => apply!(5000, math::erf),
        18 => apply!(300, |v| f32x4_floor(v)),
        _ => apply!(300, |v| f32x4_nearest(v)),
    }
}

/// out = f(a, b) by a spec.
///
/// # Safety
/// a and b are as many numbers as the spec reaches in each, out as many as it counts; out may be an operand that is not repeated.
#[inline(always)]
unsafe fn zip<F: Fn(V, V) -> V + Sync>(spec: &Spec<2>, a: usize, b: usize, out: usize, picos: usize, f: F) {
    let inner = spec.inner();
    // SAFETY: the caller's promise; a run of n elements ends within the reach of both operands and the output's count.
    unsafe {
        let (a, b) = (In::new(a, spec.reach(0)), In::new(b, spec.reach(1)));
        let out = Out::new(out, spec.count());
        pool::pieces(spec.count(), PIECE, picos, |start, end| {
            spec.runs(start, end, |[i, j], position, n| {
                let (a, b, out) = (a.add(i), b.add(j), out.add(position));
                match inner {
                    [1, 1] => map2(a, b, out, 0, n, &f),
                    [1, 0] => {
                        let b = splat(b.at(0));
                        map1(a, out, 0, n, |x| f(x, b))
                    }
                    [0, 1] => {
                        let a = splat(a.at(0));
                        map1(b, out, 0, n, |x| f(a, x))
                    }
                    _ => {
                        let (a, b) = (splat(a.at(0)), splat(b.at(0)));
                        map1(*out, out, 0, n, |_| f(a, b))
                    }
                }
            })
        });
    }
}

/// out = op(a, b) by a spec of two operands; `op` is the index in `BINARY` of codes.ts.
///
/// # Safety
/// `spec` is a spec of two operands; a and b are as many numbers as it reaches in each, out as many as it counts.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn binary(op: u32, spec: usize, a: usize, b: usize, out: usize) {
    // SAFETY: the caller's promise, which is that of `zip`.
    unsafe {
        let spec = Spec::<2>::read(spec);
        match op {
            0 => zip(&spec, a, b, out, 400, add),
            1 => zip(&spec, a, b, out, 400, sub),
            2 => zip(&spec, a, b, out, 400, mul),
            3 => zip(&spec, a, b, out, 1500, div),
            4 => zip(&spec, a, b, out, 400, |x, y| f32x4_max(x, y)),
            5 => zip(&spec, a, b, out, 400, |x, y| f32x4_min(x, y)),
            6 => zip(&spec, a, b, out, 30_000, |x, y| lanes2(x, y, f32::powf)),
            7 => zip(&spec, a, b, out, 400, |x, y| one_where(f32x4_eq(x, y))),
            8 => zip(&spec, a, b, out, 400, |x, y| one_where(f32x4_lt(x, y))),
            _ => zip(&spec, a, b, out, 400, |x, y| one_where(f32x4_le(x, y))),
        }
    }
}

/// The same for i32 operands; comparisons write f32.
///
/// # Safety
/// `spec` is a spec of two operands; a and b are as many numbers as it reaches in each, out as many as it counts.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn binary_i32(op: u32, spec: usize, a: usize, b: usize, out: usize) {
    // SAFETY: the caller's promise, which is that of `zip`.
    unsafe {
        let spec = Spec::<2>::read(spec);
        match op {
            0 => zip(&spec, a, b, out, 400, |x, y| i32x4_add(x, y)),
            1 => zip(&spec, a, b, out, 400, |x, y| i32x4_sub(x, y)),
            2 => zip(&spec, a, b, out, 400, |x, y| i32x4_mul(x, y)),
            3 => zip(&spec, a, b, out, 4000, |x, y| lanes_i32(x, y, |p, q| if q == 0 { 0 } else { p.wrapping_div(q) })),
            4 => zip(&spec, a, b, out, 400, |x, y| i32x4_max(x, y)),
            5 => zip(&spec, a, b, out, 400, |x, y| i32x4_min(x, y)),
            6 => zip(&spec, a, b, out, 30_000, |x, y| lanes_i32(x, y, |p, q| (p as f64).powf(q as f64) as i32)),
            7 => zip(&spec, a, b, out, 400, |x, y| one_where(i32x4_eq(x, y))),
            8 => zip(&spec, a, b, out, 400, |x, y| one_where(i32x4_lt(x, y))),
            _ => zip(&spec, a, b, out, 400, |x, y| one_where(i32x4_le(x, y))),
        }
    }
}

#[inline(always)]
fn lanes_i32(x: V, y: V, f: impl Fn(i32, i32) -> i32) -> V {
    i32x4(
        f(i32x4_extract_lane::<0>(x), i32x4_extract_lane::<0>(y)),
        f(i32x4_extract_lane::<1>(x), i32x4_extract_lane::<1>(y)),
        f(i32x4_extract_lane::<2>(x), i32x4_extract_lane::<2>(y)),
        f(i32x4_extract_lane::<3>(x), i32x4_extract_lane::<3>(y)),
    )
}

/// out = condition ≠ 0 ? a : b by a spec of three operands. The 32-bit words of a and b are copied as they are.
///
/// # Safety
/// `spec` is a spec of three operands; condition, a and b are as many numbers as it reaches in each, out as many as it counts.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn select(spec: usize, condition: usize, a: usize, b: usize, out: usize) {
    // SAFETY: the caller's promise; a run of n elements ends within the reach of each operand and the output's count, and
    // an operand whose step is 0 is read at its first element.
    unsafe {
        let spec = Spec::<3>::read(spec);
        let steps = spec.inner();
        let (c, a) = (In::new(condition, spec.reach(0)), In::new(a, spec.reach(1)));
        let (b, out) = (In::new(b, spec.reach(2)), Out::new(out, spec.count()));
        pool::pieces(spec.count(), PIECE, 800, |start, end| {
            spec.runs(start, end, |at, position, n| {
                let (c, a, b, out) = (c.add(at[0]), a.add(at[1]), b.add(at[2]), out.add(position));
                let pick = |p: In<f32>, step: usize, i: usize, n: usize| match (step, n) {
                    (0, _) => splat(p.at(0)),
                    (_, 4) => load(p.add(i)),
                    _ => load_part(p.add(i), n, 0.0),
                };
                let mut i = 0;
                while i < n {
                    let m = (n - i).min(4);
                    let mask = f32x4_ne(pick(c, steps[0], i, m), splat(0.0));
                    let y = v128_bitselect(pick(a, steps[1], i, m), pick(b, steps[2], i, m), mask);
                    if m == 4 {
                        store(out.add(i), y);
                    } else {
                        store_part(out.add(i), m, y);
                    }
                    i += 4;
                }
            })
        });
    }
}

/// Writes the 32-bit word `bits` n times.
///
/// # Safety
/// out is room for n words.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn fill32(bits: u32, out: usize, n: usize) {
    // SAFETY: the caller's promise; pieces end at n and no two have words in common.
    unsafe {
        let out = Out::<u32>::new(out, n);
        pool::pieces(n, 65_536, 100, |start, end| out.add(start).fill(end - start, bits));
    }
}

/// Copies bytes.
///
/// # Safety
/// x and out are as many bytes; they may overlap only where they fit in one piece, or are the same.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn copy(x: usize, out: usize, bytes: usize) {
    // SAFETY: the caller's promise; pieces end at `bytes`.
    unsafe {
        let (x, out) = (In::<u8>::new(x, bytes), Out::new(out, bytes));
        pool::pieces(bytes, 262_144, 100, |start, end| out.add(start).copy_over(x.add(start), end - start));
    }
}

/// out = silu(gate) ⊙ up.
///
/// # Safety
/// gate, up and out are n numbers; out may be an operand.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn swiglu(gate: usize, up: usize, out: usize, n: usize) {
    // SAFETY: the caller's promise; pieces end at n.
    unsafe {
        let (gate, up, out) = (In::new(gate, n), In::new(up, n), Out::new(out, n));
        pool::pieces(n, PIECE, 4000, |start, end| map2(gate, up, out, start, end, |g, u| mul(math::silu(g), u)));
    }
}

/// dgate = g · up · s (1 + gate (1 − s)), dup = g · gate · s with s = sigmoid(gate).
///
/// # Safety
/// All are n numbers; the outputs may be operands.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn swiglu_grad(gate: usize, up: usize, g: usize, dgate: usize, dup: usize, n: usize) {
    // SAFETY: the caller's promise; pieces end at n, and the last numbers of one are at most as many as are left.
    unsafe {
        let from = [gate, up, g].map(|x| In::new(x, n));
        let (p, q) = (Out::new(dgate, n), Out::new(dup, n));
        pool::pieces(n, PIECE, 5000, |start, end| {
            let f = |i: usize, n: usize| {
                let [x, u, g] = from.map(|x| {
                    let x = x.add(i);
                    if n == 4 { load(x) } else { load_part(x, n, 0.0) }
                });
                let s = math::sigmoid(x);
                let slope = mul(s, madd(x, sub(splat(1.0), s), splat(1.0)));
                let (dx, du) = (mul(mul(g, u), slope), mul(g, mul(x, s)));
                let (p, q) = (p.add(i), q.add(i));
                if n == 4 {
                    store(p, dx);
                    store(q, du);
                } else {
                    store_part(p, n, dx);
                    store_part(q, n, du);
                }
            };
            let mut i = start;
            while i < end {
                f(i, (end - i).min(4));
                i += 4;
            }
        });
    }
}
