//! GGUF blocks as whole numbers: where codes, scales and minima lie. An element is d · (code − OFFSET) (+ m), or, in the blocks of
//! 256 whose groups have whole scales, d · scale · (code − OFFSET) (− m · minimum).

use crate::gguf::{fifth_bits, nibbles, six_bits, sixth_codes};
use crate::simd::*;
use crate::span::In;

/// What is added to an element beside its scaled code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    None,
    /// m.
    Block,
    /// −m · minimum of its group.
    Groups,
}

pub trait Codes {
    /// Elements of a block, of a group, and bytes of a block.
    const BLOCK: usize;
    const GROUP: usize = 32;
    const BYTES: usize;
    /// Where d and m lie in a block.
    const D: usize = 0;
    const M: usize = 2;
    /// Whether codes are signed; the others are 63 at most.
    const SIGNED: bool = false;
    const OFFSET: i32 = 0;
    const SHIFT: Shift = Shift::None;

    /// Codes 32 · i.. of the block at p.
    ///
    /// # Safety
    /// The block is there, and has as many.
    unsafe fn codes(p: In<u8>, i: usize) -> [V; 2];

    /// The scales and the minima of a block's groups.
    type Head: Copy;
    /// # Safety
    /// The block is there.
    unsafe fn head(p: In<u8>) -> Self::Head;
    /// # Safety
    /// The block is there, and has the group.
    unsafe fn scale(head: Self::Head, p: In<u8>, group: usize) -> i32;
    fn minimum(head: Self::Head, group: usize) -> i32;
}

/// Types whose blocks are one group.
macro_rules! plain {
    ($($name:ident: $bytes:literal bytes, offset $offset:literal, signed $signed:literal, shift $shift:ident;
        codes($p:ident) = $codes:expr;)*) => { $(
        pub struct $name;
        impl Codes for $name {
            const BLOCK: usize = 32;
            const BYTES: usize = $bytes;
            const SIGNED: bool = $signed;
            const OFFSET: i32 = $offset;
            const SHIFT: Shift = Shift::$shift;
            #[inline(always)]
            unsafe fn codes($p: In<u8>, _i: usize) -> [V; 2] {
                // SAFETY: the caller's promise; what is read lies in the block's bytes.
                unsafe { $codes }
            }
            type Head = ();
            #[inline(always)]
            unsafe fn head(_p: In<u8>) {}
            #[inline(always)]
            unsafe fn scale(_head: (), _p: In<u8>, _group: usize) -> i32 {
                1
            }
            #[inline(always)]
            fn minimum(_head: (), _group: usize) -> i32 {
                0
            }
        }
    )* };
}

#[inline(always)]
fn both(bytes: V) -> [V; 2] {
    [nibbles(bytes, 0), nibbles(bytes, 1)]
}

plain! {
    Q40: 18 bytes, offset 8, signed false, shift None; codes(p) = both(load_bytes(p.add(2)));
    Q41: 20 bytes, offset 0, signed false, shift Block; codes(p) = both(load_bytes(p.add(4)));
    Q50: 22 bytes, offset 16, signed false, shift None; codes(p) = {
        let [low, high] = both(load_bytes(p.add(6)));
        [v128_or(low, fifth_bits(p.add(2))), v128_or(high, fifth_bits(p.add(4)))]
    };
    Q51: 24 bytes, offset 0, signed false, shift Block; codes(p) = {
        let [low, high] = both(load_bytes(p.add(8)));
        [v128_or(low, fifth_bits(p.add(4))), v128_or(high, fifth_bits(p.add(6)))]
    };
    Q80: 34 bytes, offset 0, signed true, shift None; codes(p) = [load_bytes(p.add(2)), load_bytes(p.add(18))];
}

/// Types of eight groups with scales and minima of six bits.
macro_rules! eight_groups {
    ($($name:ident: $bytes:literal bytes; codes($p:ident, $i:ident) = $codes:expr;)*) => { $(
        pub struct $name;
        impl Codes for $name {
            const BLOCK: usize = 256;
            const BYTES: usize = $bytes;
            const SHIFT: Shift = Shift::Groups;
            #[inline(always)]
            unsafe fn codes($p: In<u8>, $i: usize) -> [V; 2] {
                // SAFETY: the caller's promise; what is read lies in the block's bytes.
                unsafe { $codes }
            }
            type Head = (u64, u64);
            #[inline(always)]
            unsafe fn head(p: In<u8>) -> (u64, u64) {
                // SAFETY: the caller's promise.
                unsafe { six_bits(p) }
            }
            #[inline(always)]
            unsafe fn scale(head: (u64, u64), _p: In<u8>, group: usize) -> i32 {
                (head.0 >> (8 * group)) as u8 as i32
            }
            #[inline(always)]
            fn minimum(head: (u64, u64), group: usize) -> i32 {
                (head.1 >> (8 * group)) as u8 as i32
            }
        }
    )* };
}

eight_groups! {
    Q4K: 144 bytes; codes(p, i) =
        [0, 16].map(|at| nibbles(load_bytes(p.add(16 + 32 * (i / 2) + at)), i % 2));
    Q5K: 176 bytes; codes(p, i) = {
        let bit = u8x16_splat(1 << i);
        [0, 16].map(|at| {
            let fifth = v128_and(u8x16_eq(v128_and(load_bytes(p.add(16 + at)), bit), bit), u8x16_splat(16));
            v128_or(nibbles(load_bytes(p.add(48 + 32 * (i / 2) + at)), i % 2), fifth)
        })
    };
}

/// Sixteen groups of sixteen with signed scales.
pub struct Q6K;
impl Codes for Q6K {
    const BLOCK: usize = 256;
    const GROUP: usize = 16;
    const BYTES: usize = 210;
    const D: usize = 208;
    const OFFSET: i32 = 32;
    #[inline(always)]
    unsafe fn codes(p: In<u8>, i: usize) -> [V; 2] {
        // SAFETY: the caller's promise.
        unsafe { [sixth_codes(p, 2 * i), sixth_codes(p, 2 * i + 1)] }
    }
    type Head = ();
    #[inline(always)]
    unsafe fn head(_p: In<u8>) {}
    #[inline(always)]
    unsafe fn scale(_head: (), p: In<u8>, group: usize) -> i32 {
        // SAFETY: the caller's promise.
        unsafe { p.at(192 + group) as i8 as i32 }
    }
    #[inline(always)]
    fn minimum(_head: (), _group: usize) -> i32 {
        0
    }
}
