//! Sixteen numbers at once, in vectors of four: what decoding and products of few rows go by.

use crate::simd::*;
use crate::span::{In, Out};
use crate::tables::Book;

pub type Sixteen = [V; 4];

/// Rows of a coded weight that a row of A is multiplied with at once: more do not fit in the registers.
pub const ROWS: usize = 2;
/// The same where codes are looked up, for one row of A and for more: the table takes four registers.
pub const LOOKUP_ROWS: usize = 1;
pub const LOOKUP_BATCH: usize = 2;
/// Sums in which the products of a group are gathered where A has one row.
pub const SUMS: usize = 2;

#[inline(always)]
pub fn zero16() -> Sixteen {
    [splat(0.0); 4]
}

/// # Safety
/// Sixteen numbers are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load16(p: In<f32>) -> Sixteen {
    // SAFETY: the caller's promise.
    unsafe { [0, 4, 8, 12].map(|at| load(p.add(at))) }
}

/// # Safety
/// There is room for sixteen numbers.
#[inline(always)]
#[track_caller]
pub unsafe fn store16(p: Out<f32>, x: Sixteen) {
    for (k, x) in x.into_iter().enumerate() {
        // SAFETY: the caller's promise; k < 4.
        unsafe { store(p.add(4 * k), x) };
    }
}

#[inline(always)]
pub fn add16(x: Sixteen, y: Sixteen) -> Sixteen {
    [0, 1, 2, 3].map(|k| add(x[k], y[k]))
}

/// x · y + z.
#[inline(always)]
pub fn madd16(x: Sixteen, y: Sixteen, z: Sixteen) -> Sixteen {
    [0, 1, 2, 3].map(|k| madd(x[k], y[k], z[k]))
}

#[inline(always)]
pub fn sum16(x: Sixteen) -> f32 {
    sum4(add(add(x[0], x[1]), add(x[2], x[3])))
}

/// Sixteen unsigned bytes as numbers. Converted as signed, which takes one instruction where unsigned takes eight.
#[inline(always)]
pub fn unsigned16(q: V) -> Sixteen {
    let (low, high) = (u16x8_extend_low_u8x16(q), u16x8_extend_high_u8x16(q));
    [
        u32x4_extend_low_u16x8(low),
        u32x4_extend_high_u16x8(low),
        u32x4_extend_low_u16x8(high),
        u32x4_extend_high_u16x8(high),
    ]
    .map(|x| f32x4_convert_i32x4(x))
}

/// Sixteen signed bytes as numbers.
#[inline(always)]
pub fn signed16(q: V) -> Sixteen {
    let (low, high) = (i16x8_extend_low_i8x16(q), i16x8_extend_high_i8x16(q));
    [
        i32x4_extend_low_i16x8(low),
        i32x4_extend_high_i16x8(low),
        i32x4_extend_low_i16x8(high),
        i32x4_extend_high_i16x8(high),
    ]
    .map(|x| f32x4_convert_i32x4(x))
}

/// scale · x.
#[inline(always)]
pub fn times16(x: Sixteen, scale: f32) -> Sixteen {
    x.map(|x| mul(splat(scale), x))
}

/// scale · x + shift, rounded twice.
#[inline(always)]
pub fn scaled16(x: Sixteen, scale: f32, shift: f32) -> Sixteen {
    x.map(|x| add(mul(splat(scale), x), splat(shift)))
}

/// Lanes that sums of products are kept in.
pub type Sum = V;

#[inline(always)]
pub fn zero_sum() -> Sum {
    splat(0.0)
}

/// Σ sums + x · y, in P sums: the next addition to one must wait for the last.
#[inline(always)]
pub fn dot16<const P: usize>(x: Sixteen, y: Sixteen, mut sums: [Sum; P]) -> [Sum; P] {
    for k in 0..4 {
        sums[k % P] = madd(x[k], y[k], sums[k % P]);
    }
    sums
}

/// x · scale + sum.
#[inline(always)]
pub fn add_scaled(x: Sum, scale: f32, sum: Sum) -> Sum {
    madd(x, splat(scale), sum)
}

#[inline(always)]
pub fn add_sums(x: Sum, y: Sum) -> Sum {
    add(x, y)
}

#[inline(always)]
pub fn total(x: Sum) -> f32 {
    sum4(x)
}

/// The values of four-bit codes, as planes of bytes.
#[derive(Clone, Copy)]
pub struct Lookup([V; 4]);

impl Lookup {
    #[inline(always)]
    pub fn new(book: &Book) -> Self {
        Lookup(book.planes.map(|plane| from_bytes(&plane)))
    }

    /// The values of sixteen codes, a byte each.
    #[inline(always)]
    pub fn values(&self, codes: V) -> Sixteen {
        let b = self.0.map(|plane| i8x16_relaxed_swizzle(plane, codes));
        let low01 = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(b[0], b[1]);
        let high01 = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(b[0], b[1]);
        let low23 = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(b[2], b[3]);
        let high23 = i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(b[2], b[3]);
        [
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(low01, low23),
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(low01, low23),
            i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(high01, high23),
            i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(high01, high23),
        ]
    }
}
