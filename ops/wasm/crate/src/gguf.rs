//! GGUF blocks. d and m are f16; see ops/reference/codecs/gguf.ts for the table of layouts. Every product of an f16 with
//! small integers is exact in f32 (but q6_k's last), so decoding gives the same bits as the oracle.

use crate::decode::half;
use crate::encode::to_half;
use crate::simd::*;
use crate::sixteen::{scaled_i8, scaled_u8, store16};

pub const Q4_0: u32 = 15;
pub const Q4_1: u32 = 16;
pub const Q5_0: u32 = 17;
pub const Q5_1: u32 = 18;
pub const Q8_0: u32 = 19;
pub const Q4_K: u32 = 20;
pub const Q5_K: u32 = 21;

/// Elements and bytes of a block.
pub fn shape(dtype: u32) -> (usize, usize) {
    match dtype {
        Q4_0 => (32, 18),
        Q4_1 => (32, 20),
        Q5_0 => (32, 22),
        Q5_1 => (32, 24),
        Q8_0 => (32, 34),
        Q4_K => (256, 144),
        Q5_K => (256, 176),
        _ => (256, 210),
    }
}

/// out[0..n] = elements start..start + n; blocks cut by either end go through a buffer.
pub unsafe fn decode(dtype: u32, base: *const u8, start: usize, n: usize, out: *mut f32) {
    unsafe {
        let (elements, bytes) = shape(dtype);
        let (mut i, end) = (start, start + n);
        while i < end {
            let block = i / elements;
            let first = i - block * elements;
            let count = (elements - first).min(end - i);
            let p = base.add(block * bytes);
            if count == elements {
                decode_block(dtype, p, out.add(i - start));
            } else {
                let mut whole = [0.0f32; 256];
                decode_block(dtype, p, whole.as_mut_ptr());
                core::ptr::copy_nonoverlapping(whole.as_ptr().add(first), out.add(i - start), count);
            }
            i += count;
        }
    }
}

#[inline(always)]
unsafe fn half_at(p: *const u8) -> f32 {
    unsafe { half((p as *const u16).read_unaligned()) }
}

/// out[0..16] = d · q + m for 16 unsigned bytes.
#[inline(always)]
unsafe fn put16(q: V, d: f32, m: f32, out: *mut f32) {
    unsafe { store16(out, scaled_u8(q, d, m)) }
}

/// out[0..16] = d · q for 16 signed bytes.
#[inline(always)]
unsafe fn put16_signed(q: V, d: f32, out: *mut f32) {
    unsafe { store16(out, scaled_i8(q, d)) }
}

/// 16 where bit j of the two bytes at p is set, for j = 0..16.
#[inline(always)]
unsafe fn fifth_bits(p: *const u8) -> V {
    unsafe {
        let pair = u16x8_splat((p as *const u16).read_unaligned());
        let spread = i8x16_shuffle::<0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1>(pair, pair);
        let bit = u8x16(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
        v128_and(u8x16_eq(v128_and(spread, bit), bit), u8x16_splat(16))
    }
}

#[inline(always)]
unsafe fn bytes16(p: *const u8) -> V {
    unsafe { v128_load(p as *const v128) }
}

/// 6-bit scale (kind 0) or minimum (kind 4) of a group.
#[inline(always)]
unsafe fn six_bits(p: *const u8, group: usize, kind: usize) -> f32 {
    unsafe {
        let low = *p.add(kind + (group & 3));
        let value = if group < 4 { low & 63 } else { ((*p.add(8 + group - 4) >> kind) & 15) | (low >> 6 << 4) };
        value as f32
    }
}

#[inline(always)]
unsafe fn decode_block(dtype: u32, p: *const u8, out: *mut f32) {
    unsafe {
        let d = half_at(p);
        let low = |q: V| v128_and(q, u8x16_splat(15));
        let high = |q: V| u8x16_shr(q, 4);
        match dtype {
            Q4_0 => {
                let q = bytes16(p.add(2));
                put16_signed(i8x16_sub(low(q), i8x16_splat(8)), d, out);
                put16_signed(i8x16_sub(high(q), i8x16_splat(8)), d, out.add(16));
            }
            Q4_1 => {
                let (q, m) = (bytes16(p.add(4)), half_at(p.add(2)));
                put16(low(q), d, m, out);
                put16(high(q), d, m, out.add(16));
            }
            Q5_0 => {
                let q = bytes16(p.add(6));
                put16_signed(i8x16_sub(v128_or(low(q), fifth_bits(p.add(2))), i8x16_splat(16)), d, out);
                put16_signed(i8x16_sub(v128_or(high(q), fifth_bits(p.add(4))), i8x16_splat(16)), d, out.add(16));
            }
            Q5_1 => {
                let (q, m) = (bytes16(p.add(8)), half_at(p.add(2)));
                put16(v128_or(low(q), fifth_bits(p.add(4))), d, m, out);
                put16(v128_or(high(q), fifth_bits(p.add(6))), d, m, out.add(16));
            }
            Q8_0 => {
                put16_signed(bytes16(p.add(2)), d, out);
                put16_signed(bytes16(p.add(18)), d, out.add(16));
            }
            Q4_K | Q5_K => {
                let (d, m) = (half_at(p), half_at(p.add(2)));
                let codes = p.add(if dtype == Q4_K { 16 } else { 48 });
                for pair in 0..4 {
                    // Two groups share 32 bytes: the first has the low nibbles, the second the high ones.
                    let (first, second) = (2 * pair, 2 * pair + 1);
                    let scale = [first, second].map(|group| d * six_bits(p.add(4), group, 0));
                    let least = [first, second].map(|group| -(m * six_bits(p.add(4), group, 4)));
                    for part in 0..2 {
                        let q = bytes16(codes.add(32 * pair + 16 * part));
                        let (mut a, mut b) = (low(q), high(q));
                        if dtype == Q5_K {
                            let bits = bytes16(p.add(16 + 16 * part));
                            let fifth = |group: usize| {
                                let bit = u8x16_splat(1 << group);
                                v128_and(u8x16_eq(v128_and(bits, bit), bit), u8x16_splat(16))
                            };
                            (a, b) = (v128_or(a, fifth(first)), v128_or(b, fifth(second)));
                        }
                        put16(a, scale[0], least[0], out.add(32 * first + 16 * part));
                        put16(b, scale[1], least[1], out.add(32 * second + 16 * part));
                    }
                }
            }
            _ => {
                let d = half_at(p.add(208));
                for part in 0..2 {
                    for side in 0..2 {
                        // Four quarters of 32 take two bits each of the same 32 bytes.
                        let (q, top) = (p.add(64 * part + 16 * side), bytes16(p.add(128 + 32 * part + 16 * side)));
                        let (a, b) = (bytes16(q), bytes16(q.add(32)));
                        let bits = |mask: u8| v128_and(top, u8x16_splat(mask));
                        let codes = [
                            v128_or(low(a), u8x16_shl(bits(0x03), 4)),
                            v128_or(low(b), u8x16_shl(bits(0x0c), 2)),
                            v128_or(high(a), bits(0x30)),
                            v128_or(high(b), u8x16_shr(bits(0xc0), 2)),
                        ];
                        for (quarter, code) in codes.into_iter().enumerate() {
                            let group = 8 * part + 2 * quarter + side;
                            let scale = d * *(p.add(192 + group) as *const i8) as f32;
                            put16_signed(i8x16_sub(code, i8x16_splat(32)), scale, out.add(16 * group));
                        }
                    }
                }
            }
        }
    }
}

/// Writes 32 values as one block of q4_0, q4_1, q5_0, q5_1 or q8_0, rounding as the `gguf` package does.
pub unsafe fn encode_block(dtype: u32, x: *const f32, out: *mut u8) {
    unsafe {
        let x = &*(x as *const [f32; 32]);
        let put = |at: usize, v: f32| (out.add(at) as *mut u16).write_unaligned(to_half(v));
        if dtype == Q8_0 {
            let largest = x.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let d = largest / 127.0;
            let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
            put(0, d);
            for (j, v) in x.iter().enumerate() {
                // Half away from zero.
                let y = v * inverse;
                let whole = y as i32;
                let rest = y - whole as f32;
                *out.add(2 + j) = (whole + (rest >= 0.5) as i32 - (rest <= -0.5) as i32) as u8;
            }
            return;
        }
        let bits = if dtype <= Q4_1 { 4 } else { 5 };
        let top = (1 << bits) - 1;
        let symmetric = dtype == Q4_0 || dtype == Q5_0;
        let (d, least) = if symmetric {
            let furthest = x.iter().fold(0.0f32, |m, v| if v.abs() > m.abs() { *v } else { m });
            (furthest / -((1 << (bits - 1)) as f32), 0.0)
        } else {
            let high = x.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
            let low = x.iter().fold(f32::INFINITY, |m, v| m.min(*v));
            ((high - low) / top as f32, low)
        };
        let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
        let shift = if symmetric { (1 << (bits - 1)) as f32 + 0.5 } else { 0.5 };
        put(0, d);
        if !symmetric {
            put(2, least);
        }
        let head = if symmetric { 2 } else { 4 };
        let mut codes = [0u8; 32];
        for (code, v) in codes.iter_mut().zip(x) {
            *code = ((((v - least) * inverse) + shift) as i32).min(top) as u8;
        }
        if bits == 5 {
            let fifth = codes.iter().enumerate().fold(0u32, |m, (j, c)| m | ((*c >> 4) as u32) << j);
            (out.add(head) as *mut u32).write_unaligned(fifth);
        }
        let nibbles = out.add(head + if bits == 5 { 4 } else { 0 });
        for j in 0..16 {
            *nibbles.add(j) = codes[j] & 15 | codes[j + 16] << 4;
        }
    }
}
