//! Short names for the vector instructions, and the loads and stores that the kernels share.

#[cfg(not(target_arch = "wasm32"))]
pub use crate::portable_simd::*;
#[cfg(target_arch = "wasm32")]
pub use core::arch::wasm32::*;

use crate::span::{In, Out};

pub type V = v128;

#[inline(always)]
pub fn splat(x: f32) -> V {
    f32x4_splat(x)
}
#[inline(always)]
pub fn add(a: V, b: V) -> V {
    f32x4_add(a, b)
}
#[inline(always)]
pub fn sub(a: V, b: V) -> V {
    f32x4_sub(a, b)
}
#[inline(always)]
pub fn mul(a: V, b: V) -> V {
    f32x4_mul(a, b)
}
#[inline(always)]
pub fn div(a: V, b: V) -> V {
    f32x4_div(a, b)
}
/// a · b + c, rounded once or twice as the machine likes.
#[inline(always)]
pub fn madd(a: V, b: V, c: V) -> V {
    f32x4_relaxed_madd(a, b, c)
}
/// c − a · b.
#[inline(always)]
pub fn nmadd(a: V, b: V, c: V) -> V {
    f32x4_relaxed_nmadd(a, b, c)
}
/// a where the mask, a comparison's result, is set, else b.
#[inline(always)]
pub fn pick(a: V, b: V, mask: V) -> V {
    i32x4_relaxed_laneselect(a, b, mask)
}
/// max(x, low) that keeps NaN. (Rust's f32x4_pmin and f32x4_pmax say which operand they keep beside NaN, but with
/// relaxed-simd LLVM turns them into instructions that do not.)
#[inline(always)]
pub fn at_least(x: V, low: f32) -> V {
    pick(splat(low), x, f32x4_lt(x, splat(low)))
}
/// min(x, high) that keeps NaN.
#[inline(always)]
pub fn at_most(x: V, high: f32) -> V {
    pick(splat(high), x, f32x4_gt(x, splat(high)))
}
/// # Safety
/// Four numbers are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load(p: In<f32>) -> V {
    p.holds(4);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { v128_load(p.ptr() as *const v128) }
}
/// # Safety
/// There is room for four numbers.
#[inline(always)]
#[track_caller]
pub unsafe fn store(p: Out<f32>, v: V) {
    p.holds(4);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { v128_store(p.ptr() as *mut v128, v) }
}
/// Sixteen bytes.
///
/// # Safety
/// They are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load_bytes(p: In<u8>) -> V {
    p.holds(16);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { v128_load(p.ptr() as *const v128) }
}
/// Four bytes and twelve zeros.
///
/// # Safety
/// The four are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load_four_bytes(p: In<u8>) -> V {
    p.holds(4);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { v128_load32_zero(p.ptr() as *const u32) }
}
/// Four 16-bit words, with zeros above.
///
/// # Safety
/// They are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load_u16(p: In<u16>) -> V {
    p.holds(4);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { u32x4_load_extend_u16x4(p.ptr()) }
}
/// Four 16-bit words, with their sign above.
///
/// # Safety
/// They are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load_i16(p: In<i16>) -> V {
    p.holds(4);
    // SAFETY: the caller's promise; the instruction takes any address.
    unsafe { i32x4_load_extend_i16x4(p.ptr()) }
}
/// The vector of sixteen bytes.
#[inline(always)]
pub fn from_bytes(bytes: &[u8; 16]) -> V {
    // SAFETY: the array is as long as a vector.
    unsafe { v128_load(bytes.as_ptr() as *const v128) }
}
/// The bytes of a vector.
#[inline(always)]
pub fn to_bytes(v: V) -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: the array is as long as a vector.
    unsafe { v128_store(bytes.as_mut_ptr() as *mut v128, v) };
    bytes
}
/// The first `n` (0 to 4) values at `p`; the rest are `fill`.
///
/// # Safety
/// As many are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load_part(p: In<f32>, n: usize, fill: f32) -> V {
    let mut lanes = [fill; 4];
    for (i, lane) in lanes.iter_mut().enumerate().take(n) {
        // SAFETY: i < n.
        *lane = unsafe { p.at(i) };
    }
    // SAFETY: the array is four numbers.
    unsafe { load(In::of(&lanes)) }
}
/// The first `n` (0 to 4) lanes.
///
/// # Safety
/// There is room for as many.
#[inline(always)]
#[track_caller]
pub unsafe fn store_part(p: Out<f32>, n: usize, v: V) {
    let mut lanes = [0.0f32; 4];
    // SAFETY: the array is four numbers.
    unsafe { store(Out::of(&mut lanes), v) };
    for (i, lane) in lanes.iter().enumerate().take(n) {
        // SAFETY: i < n.
        unsafe { p.put(i, *lane) };
    }
}
/// The sum of the four lanes, pairwise.
#[inline(always)]
pub fn sum4(v: V) -> f32 {
    let swapped = i32x4_shuffle::<2, 3, 0, 1>(v, v);
    let pairs = add(v, swapped);
    f32x4_extract_lane::<0>(pairs) + f32x4_extract_lane::<1>(pairs)
}

/// out[i] = f(x[i]) for i in start..end, four at a time.
///
/// # Safety
/// x and out hold `end` numbers; out may be x.
#[inline(always)]
#[track_caller]
pub unsafe fn map1(x: In<f32>, out: Out<f32>, start: usize, end: usize, f: impl Fn(V) -> V) {
    let mut i = start;
    while i + 4 <= end {
        // SAFETY: four numbers from i on end at `end`.
        unsafe { store(out.add(i), f(load(x.add(i)))) };
        i += 4;
    }
    if i < end {
        // SAFETY: end − i numbers are left.
        unsafe { store_part(out.add(i), end - i, f(load_part(x.add(i), end - i, 0.0))) };
    }
}

/// out[i] = f(x[i], y[i]) for i in start..end, four at a time.
///
/// # Safety
/// x, y and out hold `end` numbers; out may be x or y.
#[inline(always)]
#[track_caller]
pub unsafe fn map2(x: In<f32>, y: In<f32>, out: Out<f32>, start: usize, end: usize, f: impl Fn(V, V) -> V) {
    let mut i = start;
    while i + 4 <= end {
        // SAFETY: four numbers from i on end at `end`.
        unsafe { store(out.add(i), f(load(x.add(i)), load(y.add(i)))) };
        i += 4;
    }
    if i < end {
        let n = end - i;
        // SAFETY: n numbers are left.
        unsafe { store_part(out.add(i), n, f(load_part(x.add(i), n, 0.0), load_part(y.add(i), n, 0.0))) };
    }
}

/// Σ f(i) over 0..n where f gives lanes i..i+4, and `tail(i)` single values. Partial sums of 256 terms are added in f64.
#[inline(always)]
pub fn sum(n: usize, f: impl Fn(usize) -> V, tail: impl Fn(usize) -> f32) -> f64 {
    let mut total = 0.0f64;
    let mut i = 0;
    while i + 16 <= n {
        let stop = (i + 256).min(n & !15);
        let mut s = [splat(0.0); 4];
        while i < stop {
            s[0] = add(s[0], f(i));
            s[1] = add(s[1], f(i + 4));
            s[2] = add(s[2], f(i + 8));
            s[3] = add(s[3], f(i + 12));
            i += 16;
        }
        total += sum4(add(add(s[0], s[1]), add(s[2], s[3]))) as f64;
    }
    let mut rest = 0.0f32;
    while i < n {
        rest += tail(i);
        i += 1;
    }
    total + rest as f64
}

/// The extreme of f(i) over 0..n, where f gives lanes i..i+4 and `tail(i)` the last 1 to 3 of them, padded with `start`;
/// `further` gives the greater or the less of numbers. NaN if there is one: f32x4.max would cost as much as all the rest.
#[inline(always)]
pub fn extreme(
    n: usize,
    start: f32,
    f: impl Fn(usize) -> V,
    tail: impl Fn(usize) -> V,
    further: impl Fn(V, V) -> V,
) -> f32 {
    let mut best = [splat(start); 4];
    let mut nan = splat(0.0);
    let mut i = 0;
    while i + 16 <= n {
        for (u, best) in best.iter_mut().enumerate() {
            let x = f(i + 4 * u);
            *best = further(*best, x);
            nan = v128_or(nan, f32x4_ne(x, x));
        }
        i += 16;
    }
    while i < n {
        let x = if i + 4 <= n { f(i) } else { tail(i) };
        best[0] = further(best[0], x);
        nan = v128_or(nan, f32x4_ne(x, x));
        i += 4;
    }
    if v128_any_true(nan) {
        return f32::NAN;
    }
    let v = further(further(best[0], best[1]), further(best[2], best[3]));
    let v = further(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    f32x4_extract_lane::<0>(further(v, i32x4_shuffle::<1, 0, 3, 2>(v, v)))
}

/// The largest of n values, NaN if there is one, −∞ if n is 0.
///
/// # Safety
/// x holds n numbers.
pub unsafe fn max_run(x: In<f32>, n: usize) -> f32 {
    let least = f32::NEG_INFINITY;
    // SAFETY: `extreme` asks for four numbers or the rest, none past n.
    unsafe { extreme(n, least, |i| load(x.add(i)), |i| load_part(x.add(i), n - i, least), |a, b| f32x4_pmax(a, b)) }
}
