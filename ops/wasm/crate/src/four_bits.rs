//! Four-bit codes of blocks of 64 with a scale each, plain or coded to eight bits themselves (double quantization).
//! Oracle: ops/reference/codecs/codebook.ts.

use crate::decode::{Weight, dtype::*};
use crate::layout::Layout;
use crate::simd::*;
use crate::sixteen::{Lookup, Sixteen, store16, times16};
use crate::span::Out;
use crate::tables::{self, Book};

pub fn book(dtype: u32) -> &'static Book {
    match dtype {
        NF4 | NF4_DOUBLE => &tables::NF4,
        FP4 | FP4_DOUBLE => &tables::FP4,
        INT4 => &tables::INT4,
        E2M1 => &tables::E2M1,
        _ => &tables::E3M0,
    }
}

/// Four-bit codes of blocks of 64.
#[derive(Clone, Copy)]
pub struct FourBits {
    weight: Weight,
    values: Lookup,
}

impl FourBits {
    pub fn new(weight: Weight) -> Self {
        FourBits { weight, values: Lookup::new(book(weight.dtype)) }
    }

    /// Scale of a block of 64.
    ///
    /// # Safety
    /// The weight has the block.
    #[inline(always)]
    unsafe fn absmax(&self, block: usize) -> f32 {
        let w = &self.weight;
        // SAFETY: the caller's promise: each block has a scale, each 256 coded ones share another, and all an offset.
        unsafe {
            if w.dtype >= NF4_DOUBLE {
                tables::SIGNED.values[w.scales.at(block) as usize] * w.nested.at(block / 256) + w.offset.at(0)
            } else {
                w.scales.cast::<f32>().at(block)
            }
        }
    }

    /// out[0..n] = elements start..start + n.
    ///
    /// # Safety
    /// The weight has these elements, and out is room for n numbers.
    pub unsafe fn decode(&self, start: usize, n: usize, out: Out<f32>) {
        let book = book(self.weight.dtype);
        let codes = self.weight.base;
        let (mut i, end) = (start, start + n);
        while i < end {
            let block = i / 64;
            let stop = (block * 64 + 64).min(end);
            // SAFETY: i < stop ≤ end, of which the caller promised all, and i + 32 ≤ stop where sixteen bytes are read.
            unsafe {
                let absmax = self.absmax(block);
                while i < stop {
                    if i % 2 == 0 && i + 32 <= stop {
                        let [first, second] = nibbles(load_bytes(codes.add(i / 2)));
                        store16(out.add(i - start), times16(self.values.values(first), absmax));
                        store16(out.add(i - start + 16), times16(self.values.values(second), absmax));
                        i += 32;
                    } else {
                        let byte = codes.at(i / 2);
                        let code = if i % 2 == 0 { byte >> 4 } else { byte & 15 };
                        out.put(i - start, book.values[code as usize] * absmax);
                        i += 1;
                    }
                }
            }
        }
    }
}

impl Layout for FourBits {
    const GROUP: usize = 64;
    const GROUPS: usize = 1;
    const SHIFTED: bool = false;
    type Head = f32;
    #[inline(always)]
    unsafe fn head(&self, block: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { self.absmax(block) }
    }
    #[inline(always)]
    unsafe fn scale(&self, head: f32, _block: usize, _group: usize) -> (f32, f32) {
        (head, 0.0)
    }
    #[inline(always)]
    unsafe fn codes(&self, block: usize, _group: usize, part: usize) -> Sixteen {
        // SAFETY: the caller's promise: a block is 32 bytes, and part < 4.
        let bytes = unsafe { load_bytes(self.weight.base.add(32 * block + 16 * (part / 2))) };
        self.values.values(nibbles(bytes)[part % 2])
    }
}

/// The 32 codes of 16 bytes, high nibble first, a byte each.
#[inline(always)]
fn nibbles(bytes: V) -> [V; 2] {
    let high = u8x16_shr(bytes, 4);
    let low = v128_and(bytes, u8x16_splat(15));
    [
        i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(high, low),
        i8x16_shuffle::<8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31>(high, low),
    ]
}
