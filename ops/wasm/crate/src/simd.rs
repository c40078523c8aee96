//! Short names for the vector instructions, and the loads and stores that the kernels share.

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
#[inline(always)]
pub fn max4(v: V) -> f32 {
    let pairs = f32x4_max(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    f32x4_extract_lane::<0>(f32x4_max(pairs, i32x4_shuffle::<1, 0, 3, 2>(pairs, pairs)))
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
