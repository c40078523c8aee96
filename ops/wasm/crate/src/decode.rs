//! Weights of any dtype as f32: whole tensors for casts, runs of elements while a product packs its panels.
//! Layouts: tensor/dtype.ts.

use crate::four_bits::FourBits;
use crate::simd::*;
use crate::tables::{self, Map};
use crate::{gguf, pool};

/// Codes of dtypes, as in codes.ts.
pub mod dtype {
    pub const F32: u32 = 0;
    pub const F16: u32 = 1;
    pub const BF16: u32 = 2;
    pub const I32: u32 = 3;
    pub const U8: u32 = 4;
    pub const INT8: u32 = 5;
    pub const NF4: u32 = 6;
    pub const FP4: u32 = 7;
    pub const INT4: u32 = 8;
    pub const E2M1: u32 = 9;
    pub const NF4_DOUBLE: u32 = 11;
    pub const FP4_DOUBLE: u32 = 12;
    pub const DYNAMIC8: u32 = 13;
    pub const UDYNAMIC8: u32 = 14;
    /// First of the GGUF types.
    pub const Q4_0: u32 = 15;
}
use dtype::*;

/// Where a weight's parts lie.
#[derive(Clone, Copy)]
pub struct Weight {
    pub dtype: u32,
    pub base: usize,
    pub scales: usize,
    pub nested: usize,
    pub offset: usize,
    /// Elements of a row.
    pub last: usize,
}

pub fn padded(bytes: usize) -> usize {
    bytes.div_ceil(4) * 4
}

pub fn map(dtype: u32) -> &'static Map {
    if dtype == DYNAMIC8 { &tables::SIGNED } else { &tables::UNSIGNED }
}

impl Weight {
    pub fn new(dtype: u32, base: usize, n: usize, last: usize) -> Self {
        let codes = match dtype {
            NF4..=FP4_DOUBLE => padded(n.div_ceil(2)),
            _ => padded(n),
        };
        let blocks = n.div_ceil(64);
        let scales = base + codes;
        let nested = scales + padded(blocks);
        let offset = nested + 4 * blocks.div_ceil(256);
        Weight { dtype, base, scales, nested, offset, last }
    }

    /// Elements that should be decoded together; starts at multiples of it are cheapest.
    pub fn grain(&self) -> usize {
        match self.dtype {
            NF4..=FP4_DOUBLE => 64,
            Q4_0.. => gguf::shape(self.dtype).0,
            _ => 1,
        }
    }

    /// out[0..n] = elements start..start + n.
    pub unsafe fn decode(&self, start: usize, n: usize, out: *mut f32) {
        unsafe {
            match self.dtype {
                F32 => core::ptr::copy_nonoverlapping((self.base as *const f32).add(start), out, n),
                F16 => wide(
                    n,
                    out,
                    |i| half4((self.base as *const u16).add(start + i)),
                    |i| half(*(self.base as *const u16).add(start + i)),
                ),
                BF16 => wide(
                    n,
                    out,
                    |i| u32x4_shl(u32x4_load_extend_u16x4((self.base as *const u16).add(start + i)), 16),
                    |i| f32::from_bits((*(self.base as *const u16).add(start + i) as u32) << 16),
                ),
                I32 => wide(
                    n,
                    out,
                    |i| f32x4_convert_i32x4(v128_load((self.base as *const v128).byte_add(4 * (start + i)))),
                    |i| *(self.base as *const i32).add(start + i) as f32,
                ),
                U8 => wide(
                    n,
                    out,
                    |i| {
                        f32x4_convert_u32x4(u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(v128_load32_zero(
                            (self.base as *const u32).byte_add(start + i),
                        ))))
                    },
                    |i| *(self.base as *const u8).add(start + i) as f32,
                ),
                INT8 => self.int8(start, n, out),
                NF4..=FP4_DOUBLE => FourBits::new(*self).decode(start, n, out),
                DYNAMIC8 | UDYNAMIC8 => {
                    let values = &map(self.dtype).values;
                    for i in start..start + n {
                        let absmax = *(self.scales as *const f32).add(i / 256);
                        *out.add(i - start) = values[*(self.base as *const u8).add(i) as usize] * absmax;
                    }
                }
                _ => gguf::decode(self.dtype, self.base, start, n, out),
            }
        }
    }

    unsafe fn int8(&self, start: usize, n: usize, out: *mut f32) {
        unsafe {
            let mut i = 0;
            while i < n {
                let row = (start + i) / self.last;
                let length = ((row + 1) * self.last - start - i).min(n - i);
                let absmax = *(self.scales as *const f32).add(row);
                let codes = (self.base as *const i8).add(start + i);
                const INVERSE: f32 = 7.874_016e-3;
                wide(
                    length,
                    out.add(i),
                    |j| {
                        let bytes = v128_load32_zero(codes.add(j) as *const u32);
                        let words = i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes));
                        mul(mul(f32x4_convert_i32x4(words), splat(absmax)), splat(INVERSE))
                    },
                    |j| *codes.add(j) as f32 * absmax * INVERSE,
                );
                i += length;
            }
        }
    }

    /// Whether elements start..start + n are whole blocks of codes.
    pub fn whole_blocks(&self, start: usize, n: usize) -> bool {
        self.grain() > 1 && start.is_multiple_of(self.grain()) && n.is_multiple_of(self.grain())
    }
}

/// Four at a time by `vector`, the rest by `scalar`.
#[inline(always)]
unsafe fn wide(n: usize, out: *mut f32, vector: impl Fn(usize) -> V, scalar: impl Fn(usize) -> f32) {
    unsafe {
        let mut i = 0;
        while i + 4 <= n {
            store(out.add(i), vector(i));
            i += 4;
        }
        while i < n {
            *out.add(i) = scalar(i);
            i += 1;
        }
    }
}

/// Four f16 as f32: sign and magnitude, moved to f32's place, times 2^112, which also makes subnormals right.
#[inline(always)]
pub unsafe fn half4(p: *const u16) -> V {
    unsafe {
        // Sign-extended, so one mask after the shift keeps the sign and the 15 bits below.
        let bits = i32x4_shl(i32x4_load_extend_i16x4(p as *const i16), 13);
        let value = mul(v128_and(bits, u32x4_splat(0x8fff_e000)), splat(f32::from_bits(0x7780_0000)));
        // ∞ and NaN: the product has the right fraction bits and a finite exponent.
        let large = i32x4_gt(v128_and(bits, i32x4_splat(0x0fff_e000)), i32x4_splat(0x0f7f_ffff));
        v128_or(value, v128_and(large, u32x4_splat(0x7f80_0000)))
    }
}

pub fn half(bits: u16) -> f32 {
    let magnitude = ((bits & 0x7fff) as u32) << 13;
    let mut value = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    if magnitude >= 0x0f80_0000 {
        value |= 0x7f80_0000;
    }
    f32::from_bits(value | ((bits & 0x8000) as u32) << 16)
}

/// Decodes a whole tensor of n elements in rows of `last` to f32.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn decode(code: u32, x: usize, n: usize, last: usize, out: usize) {
    let weight = Weight::new(code, x, n, last);
    pool::pieces(n, 16_384, 1000, |start, end| unsafe {
        weight.decode(start, end - start, (out as *mut f32).add(start))
    });
}
