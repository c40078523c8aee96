//! f32 to any dtype that can be written. Codes are those of bitsandbytes 0.50 on a CPU and of the `gguf` package; the
//! oracle is ops/reference/codecs.

use crate::decode::{Weight, dtype::*, map};
use crate::four_bits::book;
use crate::simd::*;
use crate::tables::{Book, Map, SIGNED};
use crate::{gguf, memory, pool};

/// bitsandbytes' floor under a block's scale.
const TINY: f32 = 1e-38;

/// Four f32 as f16 bits in 32-bit lanes, to nearest, ties to even.
#[inline(always)]
fn half_bits(x: V) -> V {
    let magnitude = v128_and(x, u32x4_splat(0x7fff_ffff));
    let sign = v128_and(u32x4_shr(x, 16), u32x4_splat(0x8000));
    let rebased = i32x4_sub(magnitude, i32x4_splat(112 << 23));
    let odd = v128_and(u32x4_shr(rebased, 13), i32x4_splat(1));
    let normal = u32x4_shr(i32x4_add(i32x4_add(rebased, i32x4_splat(0xfff)), odd), 13);
    // Adding ½ leaves a unit of 2^-24 in the last place, the step of f16's subnormals.
    let small = i32x4_sub(add(magnitude, splat(0.5)), splat(0.5));
    let y = v128_bitselect(small, normal, u32x4_lt(magnitude, u32x4_splat(0x3880_0000)));
    let y = v128_bitselect(u32x4_splat(0x7c00), y, u32x4_ge(magnitude, u32x4_splat(0x4780_0000)));
    let y = v128_bitselect(u32x4_splat(0x7e00), y, u32x4_gt(magnitude, u32x4_splat(0x7f80_0000)));
    v128_or(y, sign)
}

pub fn to_half(x: f32) -> u16 {
    u32x4_extract_lane::<0>(half_bits(splat(x))) as u16
}

#[inline(always)]
fn bfloat_bits(x: V) -> V {
    let odd = v128_and(u32x4_shr(x, 16), u32x4_splat(1));
    let rounded = u32x4_shr(i32x4_add(i32x4_add(x, i32x4_splat(0x7fff)), odd), 16);
    let quiet = v128_or(u32x4_shr(x, 16), u32x4_splat(0x40));
    let nan = u32x4_gt(v128_and(x, u32x4_splat(0x7fff_ffff)), u32x4_splat(0x7f80_0000));
    v128_bitselect(quiet, rounded, nan)
}

#[inline(always)]
unsafe fn store_u16(bits: V, out: *mut u16, n: usize) {
    unsafe {
        let packed = u16x8_narrow_i32x4(bits, bits);
        if n == 4 {
            v128_store64_lane::<0>(packed, out as *mut u64);
        } else {
            let mut lanes = [0u16; 8];
            v128_store(lanes.as_mut_ptr() as *mut v128, packed);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), out, n);
        }
    }
}

/// Calls f with four values at a time and how many of them count.
#[inline(always)]
unsafe fn fours(x: *const f32, start: usize, end: usize, mut f: impl FnMut(usize, V, usize)) {
    unsafe {
        let mut i = start;
        while i < end {
            let n = (end - i).min(4);
            f(i, if n == 4 { load(x.add(i)) } else { load_part(x.add(i), n, 0.0) }, n);
            i += 4;
        }
    }
}

/// max |x|; NaN if there is one.
unsafe fn absmax(x: *const f32, n: usize) -> f32 {
    unsafe {
        extreme(
            n,
            0.0,
            |i| f32x4_abs(load(x.add(i))),
            |i| f32x4_abs(load_part(x.add(i), n - i, 0.0)),
            |a, b| f32x4_pmax(a, b),
        )
    }
}

/// min(1, max(−1, x)) that keeps NaN.
#[inline(always)]
fn clamp(x: V) -> V {
    at_most(at_least(x, -1.0), 1.0)
}

/// How many bounds lie below x: the rank of the nearest value, ties to the lower.
#[inline(always)]
fn rank(map: &Map, x: f32) -> usize {
    // Without branches: which way a search goes is as good as random.
    let mut low = 0;
    for step in [128, 64, 32, 16, 8, 4, 2, 1] {
        low += if map.bounds[low + step - 1] < x { step } else { 0 };
    }
    low
}

/// Codes of one block of n ≤ 64 elements; writes ⌈n/2⌉ bytes and returns the scale.
unsafe fn four_bit_block(book: &Book, x: *const f32, n: usize, out: *mut u8) -> f32 {
    unsafe {
        let full = n == 64;
        let largest = absmax(x, n);
        let scale = if full || largest.is_nan() { largest } else { largest.max(TINY) };
        // A full block multiplies by the reciprocal, a partial one divides: the codes of bitsandbytes.
        let inverse = splat(1.0 / if scale.is_nan() { scale } else { scale.max(TINY) });
        let mut codes = [0u8; 64];
        let order = v128_load(book.codes.as_ptr() as *const v128);
        // Elements past the end are 0, and so is the padding of an odd length: the code of 0.
        for i in (0..n).step_by(16) {
            let y: [V; 4] = core::array::from_fn(|u| {
                let at = i + 4 * u;
                let v =
                    if at + 4 <= n { load(x.add(at)) } else { load_part(x.add(at.min(n)), n.saturating_sub(at), 0.0) };
                clamp(if full { mul(v, inverse) } else { div(v, splat(scale)) })
            });
            let mut above = [i32x4_splat(0); 4];
            for bound in &book.bounds {
                let bound = splat(*bound);
                for (above, y) in above.iter_mut().zip(y) {
                    *above = i32x4_sub(*above, f32x4_gt(y, bound));
                }
            }
            let ranks =
                u8x16_narrow_i16x8(i16x8_narrow_i32x4(above[0], above[1]), i16x8_narrow_i32x4(above[2], above[3]));
            v128_store(codes.as_mut_ptr().add(i) as *mut v128, u8x16_swizzle(order, ranks));
        }
        for k in 0..n.div_ceil(2) {
            *out.add(k) = codes[2 * k] << 4 | codes[2 * k + 1];
        }
        scale
    }
}

/// Block scales as 8-bit codes, one f32 a 256 of them and their mean. The codes go through bitsandbytes' grid of 65536
/// steps.
unsafe fn nest(absmax_of: *mut f32, blocks: usize, w: &Weight) {
    unsafe {
        let scales = core::slice::from_raw_parts_mut(absmax_of, blocks);
        let sum: f64 = scales.iter().map(|s| *s as f64).sum();
        let offset = if blocks == 0 { 0.0 } else { (sum / blocks as f64) as f32 };
        *(w.offset as *mut f32) = offset;
        for s in scales.iter_mut() {
            *s -= offset;
        }
        for (k, part) in scales.chunks(256).enumerate() {
            let most = absmax(part.as_ptr(), part.len());
            *(w.nested as *mut f32).add(k) = most;
            for (i, s) in part.iter().enumerate() {
                let code = if most == 0.0 {
                    0
                } else {
                    let scaled = (s * (1.0 / most)).clamp(-1.0, 1.0);
                    let step = ((scaled + 1.0) * 0.5 * 65535.0 + 0.5).floor();
                    rank(&SIGNED, ((step as f64 / 65535.0) * 2.0 - 1.0) as f32)
                };
                *(w.scales as *mut u8).add(256 * k + i) = code as u8;
            }
        }
    }
}

unsafe fn dynamic_block(map: &Map, x: *const f32, n: usize, out: *mut u8) -> f32 {
    unsafe {
        let full = n == 256;
        let largest = absmax(x, n);
        let scale = if full || largest.is_nan() { largest } else { largest.max(TINY) };
        let inverse = 1.0 / if largest.is_nan() { largest } else { largest.max(TINY) };
        for i in 0..n {
            let v = *x.add(i);
            let y = if full { v * inverse } else { v / scale };
            *out.add(i) = rank(map, y.clamp(-1.0, 1.0)) as u8;
        }
        scale
    }
}

/// Encodes n values in rows of `last`. The types that cannot be written are refused by the caller.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn encode(code: u32, x: usize, n: usize, last: usize, out: usize) {
    let w = Weight::new(code, out, n, last);
    let from = move || x as *const f32;
    const PIECE: usize = 16_384;
    match code {
        F16 | BF16 => pool::pieces(n, PIECE, 1000, |start, end| unsafe {
            fours(from(), start, end, |i, v, m| {
                let bits = if code == F16 { half_bits(v) } else { bfloat_bits(v) };
                store_u16(bits, (out as *mut u16).add(i), m)
            })
        }),
        I32 => pool::pieces(n, PIECE, 500, |start, end| unsafe {
            map1(from(), out as *mut f32, start, end, |v| i32x4_trunc_sat_f32x4(v))
        }),
        U8 => pool::pieces(n, PIECE, 1000, |start, end| unsafe {
            for i in start..end {
                *(out as *mut u8).add(i) = *from().add(i) as u8;
            }
        }),
        INT8 => pool::rows(n.checked_div(last).unwrap_or(0), last, 1000, |row| unsafe {
            let x = from().add(row * last);
            let most = absmax(x, last);
            *(w.scales as *mut f32).add(row) = most;
            let factor = splat(if most == 0.0 { 0.0 } else { 1.0 / most * 127.0 }); // as torch divides 127 by it
            fours(x, 0, last, |i, v, m| {
                let q = i32x4_trunc_sat_f32x4(f32x4_nearest(mul(v, factor)));
                let words = i16x8_narrow_i32x4(q, q);
                let bytes = i8x16_narrow_i16x8(words, words);
                let to = (out as *mut u8).add(row * last + i);
                if m == 4 {
                    v128_store32_lane::<0>(bytes, to as *mut u32);
                } else {
                    let lanes: [u8; 16] = core::mem::transmute(bytes);
                    core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, m);
                }
            });
        }),
        NF4..=FP4_DOUBLE => {
            let double = code >= NF4_DOUBLE;
            let blocks = n.div_ceil(64);
            let scales = if double { memory::shared(4 * blocks.max(1)) } else { w.scales };
            let table = book(code);
            pool::pieces(blocks, 64, 64 * 5000, |start, end| unsafe {
                for b in start..end {
                    let m = (n - 64 * b).min(64);
                    *(scales as *mut f32).add(b) =
                        four_bit_block(table, from().add(64 * b), m, (out as *mut u8).add(32 * b));
                }
            });
            if double {
                unsafe { nest(scales as *mut f32, blocks, &w) };
            }
        }
        DYNAMIC8 | UDYNAMIC8 => pool::pieces(n.div_ceil(256), 32, 256 * 8000, |start, end| unsafe {
            for b in start..end {
                let m = (n - 256 * b).min(256);
                *(w.scales as *mut f32).add(b) =
                    dynamic_block(map(code), from().add(256 * b), m, (out as *mut u8).add(256 * b));
            }
        }),
        Q4_0.. => {
            let bytes = gguf::shape(code).1;
            pool::pieces(n / 32, 256, 32 * 3000, |start, end| unsafe {
                for b in start..end {
                    gguf::encode_block(code, from().add(32 * b), (out as *mut u8).add(bytes * b));
                }
            })
        }
        _ => {}
    }
}
