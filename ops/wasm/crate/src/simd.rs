//! Short names for the vector instructions, and the loads and stores that the kernels share.

#[cfg(not(target_arch = "wasm32"))]
pub use crate::portable_simd::*;
#[cfg(target_arch = "wasm32")]
pub use core::arch::wasm32::*;

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
#[inline(always)]
pub unsafe fn load(p: *const f32) -> V {
    unsafe { v128_load(p as *const v128) }
}
#[inline(always)]
pub unsafe fn store(p: *mut f32, v: V) {
    unsafe { v128_store(p as *mut v128, v) }
}
/// The first `n` (1 to 4) values at `p`; the rest are `fill`.
#[inline(always)]
pub unsafe fn load_part(p: *const f32, n: usize, fill: f32) -> V {
    unsafe {
        let mut lanes = [fill; 4];
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = *p.add(i);
        }
        load(lanes.as_ptr())
    }
}
#[inline(always)]
pub unsafe fn store_part(p: *mut f32, n: usize, v: V) {
    unsafe {
        let mut lanes = [0.0f32; 4];
        store(lanes.as_mut_ptr(), v);
        for (i, lane) in lanes.iter().enumerate().take(n) {
            *p.add(i) = *lane;
        }
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
#[inline(always)]
pub unsafe fn map1(x: *const f32, out: *mut f32, start: usize, end: usize, f: impl Fn(V) -> V) {
    unsafe {
        let mut i = start;
        while i + 4 <= end {
            store(out.add(i), f(load(x.add(i))));
            i += 4;
        }
        if i < end {
            store_part(out.add(i), end - i, f(load_part(x.add(i), end - i, 0.0)));
        }
    }
}

/// out[i] = f(x[i], y[i]) for i in start..end, four at a time.
#[inline(always)]
pub unsafe fn map2(x: *const f32, y: *const f32, out: *mut f32, start: usize, end: usize, f: impl Fn(V, V) -> V) {
    unsafe {
        let mut i = start;
        while i + 4 <= end {
            store(out.add(i), f(load(x.add(i)), load(y.add(i))));
            i += 4;
        }
        if i < end {
            let n = end - i;
            store_part(out.add(i), n, f(load_part(x.add(i), n, 0.0), load_part(y.add(i), n, 0.0)));
        }
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
pub unsafe fn max_run(x: *const f32, n: usize) -> f32 {
    let least = f32::NEG_INFINITY;
    unsafe { extreme(n, least, |i| load(x.add(i)), |i| load_part(x.add(i), n - i, least), |a, b| f32x4_pmax(a, b)) }
}
