//! GGUF blocks. d and m are f16; see ops/reference/codecs/gguf.ts for the table of layouts. Every product of an f16 with
//! small integers is exact in f32 (but q6_k's last), so decoding gives the same bits as the oracle.

use crate::encode::to_half;
use crate::halves::Halves;
use crate::layout::Layout;
use crate::simd::*;
use crate::sixteen::*;
use crate::span::{In, Out};

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

/// Calls `$f` with the layout of a GGUF type whose blocks begin at `$base`.
macro_rules! with_gguf_layout {
    ($dtype:expr, $base:expr, $f:ident $(::<$($size:ident),*>)? ( $($rest:expr),* )) => {{
        use $crate::gguf::*;
        use $crate::halves::Halves;
        match $dtype {
            Q4_0 => $f$(::<_, $($size),*>)?(BlocksQ40($base, Halves::new()) $(, $rest)*),
            Q4_1 => $f$(::<_, $($size),*>)?(BlocksQ41($base, Halves::new()) $(, $rest)*),
            Q5_0 => $f$(::<_, $($size),*>)?(BlocksQ50($base, Halves::new()) $(, $rest)*),
            Q5_1 => $f$(::<_, $($size),*>)?(BlocksQ51($base, Halves::new()) $(, $rest)*),
            Q8_0 => $f$(::<_, $($size),*>)?(BlocksQ80($base, Halves::new()) $(, $rest)*),
            Q4_K => $f$(::<_, $($size),*>)?(BlocksQ4K($base, Halves::new()) $(, $rest)*),
            Q5_K => $f$(::<_, $($size),*>)?(BlocksQ5K($base, Halves::new()) $(, $rest)*),
            _ => $f$(::<_, $($size),*>)?(BlocksQ6K($base, Halves::new()) $(, $rest)*),
        }
    }};
}
pub(crate) use with_gguf_layout;

/// out[0..n] = elements start..start + n; blocks cut by either end go through a buffer.
///
/// # Safety
/// The blocks of these elements lie whole from `base` on, and out is room for n numbers.
pub unsafe fn decode(dtype: u32, base: In<u8>, start: usize, n: usize, out: Out<f32>) {
    // SAFETY: the caller's promise.
    unsafe { with_gguf_layout!(dtype, base, decode_blocks(start, n, out)) }
}

/// # Safety
/// As for `decode`.
unsafe fn decode_blocks<L: Layout>(blocks: L, start: usize, n: usize, out: Out<f32>) {
    let (mut i, end) = (start, start + n);
    while i < end {
        let block = i / L::BLOCK;
        let first = i - block * L::BLOCK;
        let count = (L::BLOCK - first).min(end - i);
        // SAFETY: the block holds element i < end, and `count` elements of it are among the n; a block has at most 256.
        unsafe {
            if count == L::BLOCK {
                decode_block(blocks, block, out.add(i - start));
            } else {
                let mut whole = [0.0f32; 256];
                let whole = Out::of(&mut whole);
                decode_block(blocks, block, whole);
                out.add(i - start).copy(*whole.add(first), count);
            }
        }
        i += count;
    }
}

/// The nibbles of sixteen bytes: the low ones for part (or group) 0, the high ones for 1.
#[inline(always)]
pub fn nibbles(bytes: V, side: usize) -> V {
    if side == 0 { v128_and(bytes, u8x16_splat(15)) } else { u8x16_shr(bytes, 4) }
}

/// 16 where bit j of the two bytes at p is set, for j = 0..16.
///
/// # Safety
/// The bytes are there.
#[inline(always)]
pub unsafe fn fifth_bits(p: In<u8>) -> V {
    // SAFETY: the caller's promise.
    let pair = u16x8_splat(unsafe { p.cast::<u16>().unaligned() });
    let spread = i8x16_shuffle::<0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1>(pair, pair);
    let bit = u8x16(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128);
    v128_and(u8x16_eq(v128_and(spread, bit), bit), u8x16_splat(16))
}

/// The 6-bit scales and minima of eight groups, a byte each.
///
/// # Safety
/// The sixteen bytes of a head are there.
#[inline(always)]
pub unsafe fn six_bits(p: In<u8>) -> (u64, u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let word = |at: usize| p.add(at).cast::<u32>().unaligned();
        let (scales, minima, rest) = (word(4), word(8), word(12));
        let low = |x: u32| (x & 0x3f3f_3f3f) as u64;
        // The last four have their low nibbles in `rest` and their upper two bits above those of the first four.
        let high = |x: u32, nibbles: u32| ((nibbles & 0x0f0f_0f0f | x >> 2 & 0x3030_3030) as u64) << 32;
        (low(scales) | high(scales, rest), low(minima) | high(minima, rest >> 4))
    }
}

/// The codes of group g of a q6_k block, a byte each.
///
/// # Safety
/// The block is there, and has the group.
#[inline(always)]
pub unsafe fn sixth_codes(p: In<u8>, g: usize) -> V {
    let (half, quarter, side) = (g / 8, g / 2 % 4, g % 2);
    // SAFETY: the caller's promise.
    unsafe {
        let low = nibbles(load_bytes(p.add(64 * half + 32 * (quarter % 2) + 16 * side)), quarter / 2);
        let top = load_bytes(p.add(128 + 32 * half + 16 * side));
        let top = match quarter {
            0 => u8x16_shl(v128_and(top, u8x16_splat(0x03)), 4),
            1 => u8x16_shl(v128_and(top, u8x16_splat(0x0c)), 2),
            2 => v128_and(top, u8x16_splat(0x30)),
            _ => u8x16_shr(v128_and(top, u8x16_splat(0xc0)), 2),
        };
        v128_or(low, top)
    }
}

/// d, m and the scales and minima of eight groups.
///
/// # Safety
/// The sixteen bytes of a head are there.
#[inline(always)]
unsafe fn head_of_eight(halves: Halves, p: In<u8>) -> (f32, f32, u64, u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let (scales, minima) = six_bits(p);
        (halves.at(p), halves.at(p.add(2)), scales, minima)
    }
}

#[inline(always)]
fn scale_of_eight((d, m, scales, minima): (f32, f32, u64, u64), group: usize) -> (f32, f32) {
    let byte = |x: u64| (x >> (8 * group)) as u8 as f32;
    (d * byte(scales), -(m * byte(minima)))
}

/// Layouts: what is read at a block's address p, for group g and sixteen codes of it.
macro_rules! layouts {
    ($($name:ident: $group:literal x $groups:literal, $bytes:literal bytes, shifted $shifted:literal;
        head($halves:ident, $p:ident): $head:ty = $read:expr; scale($h:ident, $g:ident) = $scale:expr; codes($part:ident) = $codes:expr;)*) => { $(
        #[derive(Clone, Copy)]
        pub struct $name(pub In<u8>, pub Halves);
        impl Layout for $name {
            const GROUP: usize = $group;
            const GROUPS: usize = $groups;
            const SHIFTED: bool = $shifted;
            type Head = $head;
            #[inline(always)]
            unsafe fn head(&self, block: usize) -> Self::Head {
                // SAFETY: the caller's promise; what is read lies in the block's bytes.
                unsafe {
                    let ($halves, $p) = (self.1, self.0.add(block * $bytes));
                    $read
                }
            }
            #[allow(unused_variables)] // not every type reads more than its head
            #[inline(always)]
            unsafe fn scale(&self, $h: Self::Head, block: usize, $g: usize) -> (f32, f32) {
                // SAFETY: the caller's promise; what is read lies in the block's bytes.
                unsafe {
                    let $p = self.0.add(block * $bytes);
                    $scale
                }
            }
            #[inline(always)]
            unsafe fn codes(&self, block: usize, $g: usize, $part: usize) -> Sixteen {
                // SAFETY: the caller's promise; what is read lies in the block's bytes.
                unsafe {
                    let $p = self.0.add(block * $bytes);
                    $codes
                }
            }
        }
    )* };
}

layouts! {
    BlocksQ40: 32 x 1, 18 bytes, shifted false;
        head(halves, p): f32 = halves.at(p); scale(h, _g) = (h, 0.0);
        codes(part) = signed16(i8x16_sub(nibbles(load_bytes(p.add(2)), part), i8x16_splat(8)));
    BlocksQ41: 32 x 1, 20 bytes, shifted true;
        head(halves, p): (f32, f32) = (halves.at(p), halves.at(p.add(2))); scale(h, _g) = h;
        codes(part) = unsigned16(nibbles(load_bytes(p.add(4)), part));
    BlocksQ50: 32 x 1, 22 bytes, shifted false;
        head(halves, p): f32 = halves.at(p); scale(h, _g) = (h, 0.0);
        codes(part) = {
            let q = v128_or(nibbles(load_bytes(p.add(6)), part), fifth_bits(p.add(2 + 2 * part)));
            signed16(i8x16_sub(q, i8x16_splat(16)))
        };
    BlocksQ51: 32 x 1, 24 bytes, shifted true;
        head(halves, p): (f32, f32) = (halves.at(p), halves.at(p.add(2))); scale(h, _g) = h;
        codes(part) = unsigned16(v128_or(nibbles(load_bytes(p.add(8)), part), fifth_bits(p.add(4 + 2 * part))));
    BlocksQ80: 32 x 1, 34 bytes, shifted false;
        head(halves, p): f32 = halves.at(p); scale(h, _g) = (h, 0.0);
        codes(part) = signed16(load_bytes(p.add(2 + 16 * part)));
    // Two groups share 32 bytes: the first has the low nibbles, the second the high ones.
    BlocksQ4K: 32 x 8, 144 bytes, shifted true;
        head(halves, p): (f32, f32, u64, u64) = head_of_eight(halves, p); scale(h, g) = scale_of_eight(h, g);
        codes(part) = unsigned16(nibbles(load_bytes(p.add(16 + 32 * (g / 2) + 16 * part)), g % 2));
    BlocksQ5K: 32 x 8, 176 bytes, shifted true;
        head(halves, p): (f32, f32, u64, u64) = head_of_eight(halves, p); scale(h, g) = scale_of_eight(h, g);
        codes(part) = {
            let bit = u8x16_splat(1 << g);
            let fifth = v128_and(u8x16_eq(v128_and(load_bytes(p.add(16 + 16 * part)), bit), bit), u8x16_splat(16));
            unsigned16(v128_or(nibbles(load_bytes(p.add(48 + 32 * (g / 2) + 16 * part)), g % 2), fifth))
        };
    // Of a half's 128 elements each quarter of 32 takes two bits of the same 32 bytes.
    BlocksQ6K: 16 x 16, 210 bytes, shifted false;
        head(halves, p): f32 = halves.at(p.add(208));
        scale(h, g) = (h * p.at(192 + g) as i8 as f32, 0.0);
        codes(_part) = signed16(i8x16_sub(sixth_codes(p, g), i8x16_splat(32)));
}

/// out[0..] = the elements of a block.
///
/// # Safety
/// The weight has the block, and out is room for its elements.
#[inline(always)]
unsafe fn decode_block<L: Layout>(blocks: L, block: usize, out: Out<f32>) {
    // SAFETY: the caller's promise; group < GROUPS, and its parts are those of GROUP elements.
    unsafe {
        let head = blocks.head(block);
        for group in 0..L::GROUPS {
            let (scale, shift) = blocks.scale(head, block, group);
            for part in 0..L::GROUP / 16 {
                let codes = blocks.codes(block, group, part);
                let values = if L::SHIFTED { scaled16(codes, scale, shift) } else { times16(codes, scale) };
                store16(out.add(group * L::GROUP + 16 * part), values);
            }
        }
    }
}

/// Writes 32 values as one block of q4_0, q4_1, q5_0, q5_1 or q8_0, rounding as the `gguf` package does.
///
/// # Safety
/// x holds 32 numbers, out room for the bytes of a block.
pub unsafe fn encode_block(dtype: u32, x: In<f32>, out: Out<u8>) {
    // SAFETY: the caller's promise; a block is a head of 2 or 4 bytes, four of fifth bits where codes have them, and
    // sixteen of nibbles, or 32 of whole codes.
    unsafe {
        let x = x.slice(32);
        let put = |at: usize, v: f32| out.add(at).cast::<u16>().put_unaligned(to_half(v));
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
                out.put(2 + j, (whole + (rest >= 0.5) as i32 - (rest <= -0.5) as i32) as u8);
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
            out.add(head).cast::<u32>().put_unaligned(fifth);
        }
        let nibbles = out.add(head + if bits == 5 { 4 } else { 0 });
        for j in 0..16 {
            nibbles.put(j, codes[j] & 15 | codes[j + 16] << 4);
        }
    }
}
