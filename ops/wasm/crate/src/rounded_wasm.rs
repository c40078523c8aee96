//! Rounded products in vectors of four lanes. The relaxed product of bytes is exact where one operand's have seven bits, as all
//! unsigned codes do; signed codes are multiplied as words.

use crate::halves::Halves;
use crate::rounded_lanes::Lanes;
use crate::simd::*;
use crate::span::{In, Out};

pub struct Relaxed;

/// The sums of pairs of lanes of x and of y.
#[inline(always)]
fn pairs(x: V, y: V) -> V {
    i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(x, y), i32x4_shuffle::<1, 3, 5, 7>(x, y))
}

/// Σ code · x over sixteen signed codes.
///
/// # Safety
/// Sixteen numbers of x are there.
#[inline(always)]
unsafe fn dot_words(codes: V, x: In<i8>, sum: V) -> V {
    // SAFETY: the caller's promise.
    let x = unsafe { load_bytes(x.cast()) };
    let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(codes), i16x8_extend_low_i8x16(x));
    i32x4_add(i32x4_add(sum, low), i32x4_dot_i16x8(i16x8_extend_high_i8x16(codes), i16x8_extend_high_i8x16(x)))
}

impl Lanes<4> for Relaxed {
    type I = V;
    #[inline(always)]
    fn whole(x: i32) -> V {
        i32x4_splat(x)
    }
    #[inline(always)]
    fn wholes(x: [i32; 4]) -> V {
        i32x4(x[0], x[1], x[2], x[3])
    }
    #[inline(always)]
    unsafe fn load_whole(p: In<i32>) -> V {
        // SAFETY: the caller's promise.
        unsafe { load(p.cast()) }
    }
    #[inline(always)]
    fn sum(x: V, y: V) -> V {
        i32x4_add(x, y)
    }
    #[inline(always)]
    fn product(x: V, y: V) -> V {
        i32x4_mul(x, y)
    }

    type F = V;
    #[inline(always)]
    fn number(x: f32) -> V {
        splat(x)
    }
    #[inline(always)]
    fn converted(x: V) -> V {
        f32x4_convert_i32x4(x)
    }
    #[inline(always)]
    unsafe fn load(p: In<f32>) -> V {
        // SAFETY: the caller's promise.
        unsafe { load(p) }
    }
    #[inline(always)]
    unsafe fn halves(p: [In<u8>; 4], at: usize) -> V {
        let halves = Halves::filled();
        // SAFETY: the caller's promise.
        let [a, b, c, d] = p.map(|p| unsafe { halves.at(p.add(at)) });
        f32x4(a, b, c, d)
    }
    #[inline(always)]
    fn add(x: V, y: V) -> V {
        add(x, y)
    }
    #[inline(always)]
    fn sub(x: V, y: V) -> V {
        sub(x, y)
    }
    #[inline(always)]
    fn mul(x: V, y: V) -> V {
        mul(x, y)
    }
    #[inline(always)]
    unsafe fn store(p: Out<f32>, x: V) {
        // SAFETY: the caller's promise.
        unsafe { store(p, x) }
    }

    /// Of the first sixteen codes, and of the others.
    type P = [V; 2];
    #[inline(always)]
    fn nothing() -> [V; 2] {
        [i32x4_splat(0); 2]
    }
    #[inline(always)]
    unsafe fn dot<const SIGNED: bool>(codes: [V; 2], x: In<i8>) -> [V; 2] {
        let zero = i32x4_splat(0);
        // SAFETY: the caller's promise.
        [0, 1].map(|side| unsafe {
            if SIGNED {
                dot_words(codes[side], x.add(16 * side), zero)
            } else {
                i32x4_relaxed_dot_i8x16_i7x16_add(load_bytes(x.add(16 * side).cast()), codes[side], zero)
            }
        })
    }
    #[inline(always)]
    fn scaled(sum: [V; 2], parts: [V; 2], scales: [i32; 2]) -> [V; 2] {
        [0, 1].map(|side| i32x4_add(sum[side], i32x4_mul(parts[side], i32x4_splat(scales[side]))))
    }
    #[inline(always)]
    fn totals(parts: [[V; 2]; 4]) -> V {
        let [a, b, c, d] = parts.map(|[low, high]| i32x4_add(low, high));
        pairs(pairs(a, b), pairs(c, d))
    }

    /// Sums of quads; where codes are signed, of pairs, those of two lanes in each.
    type A = [V; 2];
    #[inline(always)]
    fn start(x: V) -> [V; 2] {
        // Signed codes have no offset and this machine adds none, so pairs start from nothing.
        [x, i32x4_splat(0)]
    }
    type W = V;
    #[inline(always)]
    unsafe fn quads<const SIGNED: bool>(p: In<u8>) -> V {
        // SAFETY: the caller's promise.
        unsafe { load_bytes(p) }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(sum: [V; 2], codes: V, x: In<i8>) -> [V; 2] {
        // SAFETY: the caller's promise.
        let x = i32x4_splat(unsafe { x.cast::<i32>().unaligned() });
        if SIGNED {
            let x = i16x8_extend_low_i8x16(x);
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(codes), x);
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(codes), x);
            [i32x4_add(sum[0], low), i32x4_add(sum[1], high)]
        } else {
            [i32x4_relaxed_dot_i8x16_i7x16_add(x, codes, sum[0]), sum[1]]
        }
    }
    #[inline(always)]
    fn end<const SIGNED: bool>(sum: [V; 2]) -> V {
        if SIGNED { pairs(sum[0], sum[1]) } else { sum[0] }
    }
}
