//! f32 to any dtype that can be written. Codes are those of bitsandbytes 0.50 on a CPU and of the `gguf` package; the
//! oracle is ops/reference/codecs.

use crate::decode::{Parts, dtype::*, map};
use crate::four_bits::book;
use crate::simd::*;
use crate::span::{In, Out};
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

/// The low halves of the first n (1 to 4) lanes.
///
/// # Safety
/// There is room for them.
#[inline(always)]
unsafe fn store_u16(bits: V, out: Out<u16>, n: usize) {
    let packed = u16x8_narrow_i32x4(bits, bits);
    out.holds(n);
    if n == 4 {
        // SAFETY: the caller's promise.
        unsafe { v128_store64_lane::<0>(packed, out.ptr() as *mut u64) };
    } else {
        let bytes = to_bytes(packed);
        // SAFETY: the caller's promise; a vector is sixteen bytes.
        unsafe { out.cast::<u8>().copy(In::of(&bytes), 2 * n) };
    }
}

/// Calls f with four values at a time and how many of them count.
///
/// # Safety
/// x holds `end` numbers.
#[inline(always)]
unsafe fn fours(x: In<f32>, start: usize, end: usize, mut f: impl FnMut(usize, V, usize)) {
    let mut i = start;
    while i < end {
        let n = (end - i).min(4);
        // SAFETY: i + n ≤ end.
        let four = unsafe { if n == 4 { load(x.add(i)) } else { load_part(x.add(i), n, 0.0) } };
        f(i, four, n);
        i += 4;
    }
}

/// max |x|; NaN if there is one.
///
/// # Safety
/// x holds n numbers.
unsafe fn absmax(x: In<f32>, n: usize) -> f32 {
    // SAFETY: `extreme` asks for four numbers or the rest, none past n.
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
///
/// # Safety
/// x holds n numbers, out room for the bytes.
unsafe fn four_bit_block(book: &Book, x: In<f32>, n: usize, out: Out<u8>) -> f32 {
    debug_assert!(n <= 64, "a block of {n}");
    // SAFETY: at + 4 ≤ n where four numbers are read, else as many as are left; k < ⌈n/2⌉.
    unsafe {
        let full = n == 64;
        let largest = absmax(x, n);
        let scale = if full || largest.is_nan() { largest } else { largest.max(TINY) };
        // A full block multiplies by the reciprocal, a partial one divides: the codes of bitsandbytes.
        let inverse = splat(1.0 / if scale.is_nan() { scale } else { scale.max(TINY) });
        let mut codes = [0u8; 64];
        let order = from_bytes(&book.codes);
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
            codes[i..i + 16].copy_from_slice(&to_bytes(u8x16_swizzle(order, ranks)));
        }
        for k in 0..n.div_ceil(2) {
            out.put(k, codes[2 * k] << 4 | codes[2 * k + 1]);
        }
        scale
    }
}

/// Block scales as 8-bit codes, one f32 for 256 of them and their mean. The codes go through bitsandbytes' grid of 65536
/// steps.
///
/// # Safety
/// absmax_of holds a scale of each block, out room for the parts of the weight.
unsafe fn nest(absmax_of: Out<f32>, blocks: usize, parts: &Parts, out: Out<u8>) {
    // SAFETY: the caller's promise, and nobody else has the scales; block 256 · k + i < `blocks`.
    unsafe {
        let scales = absmax_of.slice_mut(blocks);
        let codes = out.add(parts.scales_at);
        let nested = out.add(parts.nested_at).cast::<f32>();
        let sum: f64 = scales.iter().map(|s| *s as f64).sum();
        let offset = if blocks == 0 { 0.0 } else { (sum / blocks as f64) as f32 };
        out.add(parts.offset_at).cast::<f32>().put(0, offset);
        for s in scales.iter_mut() {
            *s -= offset;
        }
        for (k, part) in scales.chunks(256).enumerate() {
            let most = absmax(In::of(part), part.len());
            nested.put(k, most);
            for (i, s) in part.iter().enumerate() {
                let code = if most == 0.0 {
                    0
                } else {
                    let scaled = (s * (1.0 / most)).clamp(-1.0, 1.0);
                    let step = ((scaled + 1.0) * 0.5 * 65535.0 + 0.5).floor();
                    rank(&SIGNED, ((step as f64 / 65535.0) * 2.0 - 1.0) as f32)
                };
                codes.put(256 * k + i, code as u8);
            }
        }
    }
}

/// Codes of one block of n ≤ 256 elements, a byte each; returns the scale.
///
/// # Safety
/// x holds n numbers, out room for as many bytes.
unsafe fn dynamic_block(map: &Map, x: In<f32>, n: usize, out: Out<u8>) -> f32 {
    debug_assert!(n <= 256, "a block of {n}");
    let full = n == 256;
    // SAFETY: the caller's promise.
    let largest = unsafe { absmax(x, n) };
    let scale = if full || largest.is_nan() { largest } else { largest.max(TINY) };
    let inverse = 1.0 / if largest.is_nan() { largest } else { largest.max(TINY) };
    for i in 0..n {
        // SAFETY: i < n.
        unsafe {
            let v = x.at(i);
            let y = if full { v * inverse } else { v / scale };
            out.put(i, rank(map, y.clamp(-1.0, 1.0)) as u8);
        }
    }
    scale
}

/// Encodes n values in rows of `last`. The types that cannot be written are refused by the caller.
///
/// # Safety
/// x is n numbers, out room for the bytes of `Parts`; of GGUF types n is a multiple of 32.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn encode(code: u32, x: usize, n: usize, last: usize, out: usize) {
    const PIECE: usize = 16_384;
    let parts = Parts::new(code, n, last);
    // SAFETY: the caller's promise; pieces end at n, at its rows or at its blocks, of which the last holds what is left.
    unsafe {
        let (x, out) = (In::<f32>::new(x, n), Out::<u8>::new(out, parts.bytes()));
        let scales_of = |out: Out<u8>| out.add(parts.scales_at).cast::<f32>();
        match code {
            F16 | BF16 => pool::pieces(n, PIECE, 1000, |start, end| {
                fours(x, start, end, |i, v, m| {
                    let bits = if code == F16 { half_bits(v) } else { bfloat_bits(v) };
                    store_u16(bits, out.cast().add(i), m)
                })
            }),
            I32 => {
                pool::pieces(n, PIECE, 500, |start, end| map1(x, out.cast(), start, end, |v| i32x4_trunc_sat_f32x4(v)))
            }
            U8 => pool::pieces(n, PIECE, 1000, |start, end| {
                for i in start..end {
                    out.put(i, x.at(i) as u8);
                }
            }),
            INT8 => {
                let scales = scales_of(out);
                pool::rows(n.checked_div(last).unwrap_or(0), last, 1000, |row| {
                    let (x, out) = (x.add(row * last), out.add(row * last));
                    let most = absmax(x, last);
                    scales.put(row, most);
                    let factor = splat(if most == 0.0 { 0.0 } else { 1.0 / most * 127.0 }); // as torch divides 127 by it
                    fours(x, 0, last, |i, v, m| {
                        let q = i32x4_trunc_sat_f32x4(f32x4_nearest(mul(v, factor)));
                        let words = i16x8_narrow_i32x4(q, q);
                        let bytes = i8x16_narrow_i16x8(words, words);
                        let to = out.add(i);
                        to.holds(m);
                        if m == 4 {
                            v128_store32_lane::<0>(bytes, to.ptr() as *mut u32);
                        } else {
                            to.copy(In::of(&to_bytes(bytes)), m);
                        }
                    });
                })
            }
            NF4..=FP4_DOUBLE => {
                let double = code >= NF4_DOUBLE;
                let blocks = n.div_ceil(64);
                let scales = if double { memory::shared(blocks.max(1)) } else { scales_of(out) };
                let table = book(code);
                pool::pieces(blocks, 64, 64 * 5000, |start, end| {
                    for b in start..end {
                        let m = (n - 64 * b).min(64);
                        scales.put(b, four_bit_block(table, x.add(64 * b), m, out.add(32 * b)));
                    }
                });
                if double {
                    nest(scales, blocks, &parts, out);
                }
            }
            DYNAMIC8 | UDYNAMIC8 => {
                let scales = scales_of(out);
                pool::pieces(n.div_ceil(256), 32, 256 * 8000, |start, end| {
                    for b in start..end {
                        let m = (n - 256 * b).min(256);
                        scales.put(b, dynamic_block(map(code), x.add(256 * b), m, out.add(256 * b)));
                    }
                })
            }
            Q4_0.. => {
                let bytes = gguf::shape(code).1;
                pool::pieces(n / 32, 256, 32 * 3000, |start, end| {
                    for b in start..end {
                        gguf::encode_block(code, x.add(32 * b), out.add(bytes * b));
                    }
                })
            }
            _ => {}
        }
    }
}
