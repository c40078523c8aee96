//! Sixteen numbers at once, in vectors as wide as there are: what decoding and products of few rows go by.

use crate::portable_simd::{bytes_i8, bytes_u8, madd};
use crate::simd::{V, add, splat, sum4};
use crate::span::{In, Out};
use crate::tables::Book;
use core::simd::num::{SimdInt, SimdUint};
use core::simd::{Simd, simd_swizzle};

pub type Sixteen = Simd<f32, 16>;

/// Rows of a coded weight that a row of A is multiplied with at once.
pub const ROWS: usize = 4;
/// The same where codes are looked up, for one row of A and for more.
pub const LOOKUP_ROWS: usize = 4;
pub const LOOKUP_BATCH: usize = 2;
/// Sums in which the products of a group are gathered where A has one row.
pub const SUMS: usize = 1;

#[inline(always)]
pub fn zero16() -> Sixteen {
    Simd::splat(0.0)
}

/// # Safety
/// Sixteen numbers are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load16(p: In<f32>) -> Sixteen {
    p.holds(16);
    // SAFETY: the caller's promise.
    unsafe { (p.ptr() as *const Sixteen).read_unaligned() }
}

/// # Safety
/// There is room for sixteen numbers.
#[inline(always)]
#[track_caller]
pub unsafe fn store16(p: Out<f32>, x: Sixteen) {
    p.holds(16);
    // SAFETY: the caller's promise.
    unsafe { (p.ptr() as *mut Sixteen).write_unaligned(x) }
}

#[inline(always)]
pub fn add16(x: Sixteen, y: Sixteen) -> Sixteen {
    x + y
}

/// x · y + z.
#[inline(always)]
pub fn madd16(x: Sixteen, y: Sixteen, z: Sixteen) -> Sixteen {
    madd(x, y, z)
}

#[inline(always)]
pub fn sum16(x: Sixteen) -> f32 {
    let eight = simd_swizzle!(x, [0, 1, 2, 3, 4, 5, 6, 7]) + simd_swizzle!(x, [8, 9, 10, 11, 12, 13, 14, 15]);
    let four: V = (simd_swizzle!(eight, [0, 1, 2, 3]) + simd_swizzle!(eight, [4, 5, 6, 7])).into();
    sum4(add(four, splat(0.0)))
}

/// Sixteen unsigned bytes as numbers.
#[inline(always)]
pub fn unsigned16(q: V) -> Sixteen {
    bytes_u8(q).cast::<f32>()
}

/// Sixteen signed bytes as numbers.
#[inline(always)]
pub fn signed16(q: V) -> Sixteen {
    bytes_i8(q).cast::<f32>()
}

/// scale · x.
#[inline(always)]
pub fn times16(x: Sixteen, scale: f32) -> Sixteen {
    Simd::splat(scale) * x
}

/// scale · x + shift, rounded twice.
#[inline(always)]
pub fn scaled16(x: Sixteen, scale: f32, shift: f32) -> Sixteen {
    Simd::splat(scale) * x + Simd::splat(shift)
}

/// Lanes that sums of products are kept in.
pub type Sum = Sixteen;

#[inline(always)]
pub fn zero_sum() -> Sum {
    zero16()
}

/// Σ sums + x · y, in one sum of sixteen lanes.
#[inline(always)]
pub fn dot16<const P: usize>(x: Sixteen, y: Sixteen, mut sums: [Sum; P]) -> [Sum; P] {
    sums[0] = madd(x, y, sums[0]);
    sums
}

/// x · scale + sum.
#[inline(always)]
pub fn add_scaled(x: Sum, scale: f32, sum: Sum) -> Sum {
    madd(x, Simd::splat(scale), sum)
}

#[inline(always)]
pub fn add_sums(x: Sum, y: Sum) -> Sum {
    x + y
}

#[inline(always)]
pub fn total(x: Sum) -> f32 {
    sum16(x)
}

/// The values of four-bit codes.
#[derive(Clone, Copy)]
pub struct Lookup(Sixteen);

impl Lookup {
    #[inline(always)]
    pub fn new(book: &Book) -> Self {
        Lookup(Simd::from_array(book.values))
    }

    /// The values of sixteen codes, a byte each.
    #[cfg(target_feature = "avx512f")]
    #[inline(always)]
    pub fn values(&self, codes: V) -> Sixteen {
        use core::arch::x86_64::_mm512_permutexvar_ps;
        let order = bytes_u8(codes).cast::<i32>();
        // SAFETY: it is compiled only for machines that have the instruction.
        unsafe { _mm512_permutexvar_ps(order.into(), self.0.into()).into() }
    }

    /// Each byte of the values is looked up by itself, and bytes are put together again.
    #[cfg(not(target_feature = "avx512f"))]
    #[inline(always)]
    pub fn values(&self, codes: V) -> Sixteen {
        use core::simd::num::SimdFloat;
        let bits = self.0.to_bits();
        let codes = bytes_u8(codes);
        let found = [0u32, 8, 16, 24].map(|shift| {
            let plane = (bits >> Simd::splat(shift)).cast::<u8>();
            plane.swizzle_dyn(codes).cast::<u32>() << Simd::splat(shift)
        });
        Sixteen::from_bits(found[0] | found[1] | found[2] | found[3])
    }
}
