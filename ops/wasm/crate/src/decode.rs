//! Weights of any dtype as f32: whole tensors for casts, runs of elements while a product packs its panels.
//! Layouts: core/tensor/dtype.ts.

use crate::four_bits::FourBits;
use crate::simd::*;
use crate::span::{In, Out};
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

/// Where a weight's parts lie: codes, the scales of rows or blocks and, where scales are codes themselves, theirs.
#[derive(Clone, Copy)]
pub struct Weight {
    pub dtype: u32,
    pub base: In<u8>,
    pub scales: In<u8>,
    pub nested: In<f32>,
    pub offset: In<f32>,
    /// Elements of a row.
    pub last: usize,
}

/// How many bytes there are of each part of a weight, and where parts begin, from its address on.
pub struct Parts {
    pub codes: usize,
    pub scales_at: usize,
    pub scales: usize,
    pub nested_at: usize,
    pub nested: usize,
    pub offset_at: usize,
    pub offset: usize,
}

impl Parts {
    /// Those of `n` elements in rows of `last`.
    pub fn new(dtype: u32, n: usize, last: usize) -> Self {
        let codes = match dtype {
            F32 | I32 => 4 * n,
            F16 | BF16 => 2 * n,
            NF4..=FP4_DOUBLE => n.div_ceil(2),
            Q4_0.. => {
                let (elements, bytes) = gguf::shape(dtype);
                n / elements * bytes
            }
            _ => n,
        };
        let blocks = n.div_ceil(64);
        let scales = match dtype {
            INT8 => 4 * n.checked_div(last).unwrap_or(0),
            NF4_DOUBLE | FP4_DOUBLE => blocks,
            NF4..NF4_DOUBLE => 4 * blocks,
            DYNAMIC8 | UDYNAMIC8 => 4 * n.div_ceil(256),
            _ => 0,
        };
        let (nested, offset) =
            if matches!(dtype, NF4_DOUBLE | FP4_DOUBLE) { (4 * blocks.div_ceil(256), 4) } else { (0, 0) };
        let scales_at = padded(codes);
        let nested_at = scales_at + padded(scales);
        Parts { codes, scales_at, scales, nested_at, nested, offset_at: nested_at + nested, offset }
    }

    /// Bytes of them all.
    pub fn bytes(&self) -> usize {
        if self.scales + self.offset == 0 { self.codes } else { self.nested_at + self.nested + self.offset }
    }
}

fn padded(bytes: usize) -> usize {
    bytes.div_ceil(4) * 4
}

pub fn map(dtype: u32) -> &'static Map {
    if dtype == DYNAMIC8 { &tables::SIGNED } else { &tables::UNSIGNED }
}

impl Weight {
    /// A weight of `n` elements in rows of `last`.
    ///
    /// # Safety
    /// It lies at `base`, all the bytes of `Parts`.
    pub unsafe fn new(dtype: u32, base: usize, n: usize, last: usize) -> Self {
        let parts = Parts::new(dtype, n, last);
        // SAFETY: the caller's promise.
        unsafe {
            Weight {
                dtype,
                base: In::new(base, parts.codes),
                scales: In::new(base + parts.scales_at, parts.scales),
                nested: In::new(base + parts.nested_at, parts.nested / 4),
                offset: In::new(base + parts.offset_at, parts.offset / 4),
                last,
            }
        }
    }

    /// Numbers that are no codes.
    pub fn plain(values: In<f32>) -> Self {
        Weight { dtype: F32, base: values.cast(), scales: values.cast(), nested: values, offset: values, last: 1 }
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
    ///
    /// # Safety
    /// The weight has these elements, and out is room for n numbers.
    pub unsafe fn decode(&self, start: usize, n: usize, out: Out<f32>) {
        // SAFETY: the caller's promise; `wide` asks for four elements or one, none past n.
        unsafe {
            match self.dtype {
                F32 => out.copy(self.base.cast::<f32>().add(start), n),
                F16 => {
                    let words = self.base.cast::<u16>().add(start);
                    wide(n, out, |i| half4(words.add(i)), |i| half(words.at(i)))
                }
                BF16 => {
                    let words = self.base.cast::<u16>().add(start);
                    wide(
                        n,
                        out,
                        |i| u32x4_shl(load_u16(words.add(i)), 16),
                        |i| f32::from_bits((words.at(i) as u32) << 16),
                    )
                }
                I32 => {
                    let words = self.base.cast::<i32>().add(start);
                    wide(n, out, |i| f32x4_convert_i32x4(load(words.add(i).cast())), |i| words.at(i) as f32)
                }
                U8 => {
                    let bytes = self.base.add(start);
                    let four = |i| u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(load_four_bytes(bytes.add(i))));
                    wide(n, out, |i| f32x4_convert_u32x4(four(i)), |i| bytes.at(i) as f32)
                }
                INT8 => self.int8(start, n, out),
                NF4..=FP4_DOUBLE => FourBits::new(*self).decode(start, n, out),
                DYNAMIC8 | UDYNAMIC8 => {
                    let values = &map(self.dtype).values;
                    for i in start..start + n {
                        let absmax = self.scales.cast::<f32>().at(i / 256);
                        out.put(i - start, values[self.base.at(i) as usize] * absmax);
                    }
                }
                _ => gguf::decode(self.dtype, self.base, start, n, out),
            }
        }
    }

    /// # Safety
    /// As for `decode`.
    unsafe fn int8(&self, start: usize, n: usize, out: Out<f32>) {
        const INVERSE: f32 = 7.874_016e-3;
        let mut i = 0;
        while i < n {
            let row = (start + i) / self.last;
            let length = ((row + 1) * self.last - start - i).min(n - i);
            // SAFETY: the caller's promise; `length` elements from i on end with their row, or at n.
            unsafe {
                let absmax = self.scales.cast::<f32>().at(row);
                let codes = self.base.add(start + i);
                wide(
                    length,
                    out.add(i),
                    |j| {
                        let bytes = load_four_bytes(codes.add(j));
                        let words = i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes));
                        mul(mul(f32x4_convert_i32x4(words), splat(absmax)), splat(INVERSE))
                    },
                    |j| codes.at(j) as i8 as f32 * absmax * INVERSE,
                );
            }
            i += length;
        }
    }

    /// Whether elements start..start + n are whole blocks of codes.
    pub fn whole_blocks(&self, start: usize, n: usize) -> bool {
        self.grain() > 1 && start.is_multiple_of(self.grain()) && n.is_multiple_of(self.grain())
    }
}

/// Four at a time by `vector`, the rest by `scalar`.
///
/// # Safety
/// out is room for n numbers.
#[inline(always)]
unsafe fn wide(n: usize, out: Out<f32>, vector: impl Fn(usize) -> V, scalar: impl Fn(usize) -> f32) {
    let mut i = 0;
    while i + 4 <= n {
        // SAFETY: i + 4 ≤ n.
        unsafe { store(out.add(i), vector(i)) };
        i += 4;
    }
    while i < n {
        // SAFETY: i < n.
        unsafe { out.put(i, scalar(i)) };
        i += 1;
    }
}

/// Four f16 as f32: sign and magnitude, moved to f32's place, times 2^112, which also makes subnormals right.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn half4(p: In<u16>) -> V {
    // Sign-extended, so one mask after the shift keeps the sign and the 15 bits below.
    // SAFETY: the caller's promise.
    let bits = i32x4_shl(unsafe { load_i16(p.cast()) }, 13);
    let value = mul(v128_and(bits, u32x4_splat(0x8fff_e000)), splat(f32::from_bits(0x7780_0000)));
    // ∞ and NaN: the product has the right fraction bits and a finite exponent.
    let large = i32x4_gt(v128_and(bits, i32x4_splat(0x0fff_e000)), i32x4_splat(0x0f7f_ffff));
    v128_or(value, v128_and(large, u32x4_splat(0x7f80_0000)))
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
///
/// # Safety
/// x is a weight of as many, out room for n numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn decode(code: u32, x: usize, n: usize, last: usize, out: usize) {
    // SAFETY: the caller's promise; pieces end at n.
    unsafe {
        let (weight, out) = (Weight::new(code, x, n, last), Out::new(out, n));
        pool::pieces(n, 16_384, 1000, |start, end| weight.decode(start, end - start, out.add(start)));
    }
}
