//! The rows of A, rounded to eight bits in blocks with a scale each, as llama.cpp rounds them: to q8_0 or q8_1 (blocks of 32, their
//! scales f16) before weights of such blocks, to q8_K (256, f32) before the others. Oracle: ops/reference/rounded.ts.

use crate::decode::half;
use crate::encode::to_half;
use crate::rounded_codes::{Codes, Shift};
use crate::simd::*;
use crate::span::{In, Out};
use crate::{memory, pool};

/// Rounded rows of k numbers. What holds of it: all parts are as long as their types' blocks and groups ask for.
#[derive(Clone, Copy)]
pub struct Rounded {
    k: usize,
    /// scale · number is what was rounded; a scale a block.
    numbers: In<i8>,
    scales: In<f32>,
    /// The sum of each group's numbers.
    sums: In<i32>,
    /// The sum of each block's rounded elements, as f16: present where the weight's blocks are shifted.
    totals: In<f32>,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Row {
    pub numbers: In<i8>,
    pub scales: In<f32>,
    pub sums: In<i32>,
    pub totals: In<f32>,
}

impl Rounded {
    /// Row i.
    ///
    /// # Safety
    /// It is there.
    #[inline(always)]
    pub unsafe fn row<C: Codes>(&self, i: usize) -> Row {
        // SAFETY: the caller's promise.
        unsafe {
            Row {
                numbers: self.numbers.add(i * self.k),
                scales: self.scales.add(i * (self.k / C::BLOCK)),
                sums: self.sums.add(i * (self.k / C::GROUP)),
                totals: if C::SHIFT == Shift::Block { self.totals.add(i * (self.k / C::BLOCK)) } else { self.totals },
            }
        }
    }

    /// Rounds m rows of a, `lead` apart, into scratch that lives until the next call of a kernel.
    ///
    /// # Safety
    /// a has the rows, and k is whole blocks.
    pub unsafe fn of<C: Codes>(a: In<f32>, m: usize, k: usize, lead: usize) -> Self {
        let (blocks, groups) = (m * k / C::BLOCK, m * k / C::GROUP);
        let room = memory::shared::<f32>(m * k / 4 + 2 * blocks + groups);
        // SAFETY: the room is for all four, and each row's blocks and groups are among them.
        unsafe {
            let numbers: Out<i8> = Out::new(room.ptr() as usize, m * k);
            let (scales, totals) = (room.add(m * k / 4), room.add(m * k / 4 + blocks));
            let sums: Out<i32> = Out::new(room.add(m * k / 4 + 2 * blocks).ptr() as usize, groups);
            pool::rows(m, k, 500, |row| {
                for block in 0..k / C::BLOCK {
                    let at = row * (k / C::BLOCK) + block;
                    let x = a.add(row * lead + block * C::BLOCK);
                    let scale = round::<C>(x, numbers.add(at * C::BLOCK), sums.add(at * (C::BLOCK / C::GROUP)));
                    scales.put(at, if C::BLOCK == 32 { short(scale) } else { scale });
                    totals.put(at, short(scale * sums.at(at * (C::BLOCK / C::GROUP)) as f32));
                }
            });
            Rounded { k, numbers: *numbers, scales: *scales, sums: *sums, totals: *totals }
        }
    }
}

/// As f16 has it; itself where that is beyond f16.
fn short(x: f32) -> f32 {
    let short = half(to_half(x));
    if short.is_infinite() { x } else { short }
}

/// Adding it leaves a number of less than 2²² with no fraction, rounded half to even, in the lowest bits.
const WHOLE: f32 = 12_582_912.0;

/// Rounds a block, and returns its scale: NaN where an element is not finite.
///
/// # Safety
/// x holds a block, `numbers` and `sums` have room for its numbers and its groups.
unsafe fn round<C: Codes>(x: In<f32>, numbers: Out<i8>, sums: Out<i32>) -> f32 {
    // SAFETY: the caller's promise; a group is sixteens.
    unsafe {
        let mut most = i32x4_splat(0);
        for i in (0..C::BLOCK).step_by(4) {
            // Of numbers without signs the order is that of their bits, NaN above all.
            most = i32x4_max(most, v128_and(load(x.add(i)), i32x4_splat(i32::MAX)));
        }
        most = i32x4_max(most, i32x4_shuffle::<2, 3, 0, 1>(most, most));
        most = i32x4_max(most, i32x4_shuffle::<1, 0, 3, 2>(most, most));
        let most = f32::from_bits(i32x4_extract_lane::<0>(most) as u32);
        let inverse = if most == 0.0 { 0.0 } else { 127.0 / most };
        let factor = splat(if inverse.is_finite() { inverse } else { 0.0 });
        for group in 0..C::BLOCK / C::GROUP {
            let mut sum = i32x4_splat(0);
            for i in (group * C::GROUP..(group + 1) * C::GROUP).step_by(16) {
                let whole = [0, 4, 8, 12].map(|at| {
                    let shifted = add(mul(load(x.add(i + at)), factor), splat(WHOLE));
                    i32x4_sub(shifted, i32x4_splat(WHOLE.to_bits() as i32))
                });
                sum = i32x4_add(sum, i32x4_add(i32x4_add(whole[0], whole[1]), i32x4_add(whole[2], whole[3])));
                let words = [i16x8_narrow_i32x4(whole[0], whole[1]), i16x8_narrow_i32x4(whole[2], whole[3])];
                let to = numbers.add(i);
                to.holds(16);
                v128_store(to.ptr() as *mut v128, i8x16_narrow_i16x8(words[0], words[1]));
            }
            sum = i32x4_add(sum, i32x4_shuffle::<2, 3, 0, 1>(sum, sum));
            sum = i32x4_add(sum, i32x4_shuffle::<1, 0, 3, 2>(sum, sum));
            sums.put(group, i32x4_extract_lane::<0>(sum));
        }
        match C::BLOCK {
            _ if !most.is_finite() => f32::NAN,
            32 => most / 127.0,
            _ if inverse.is_finite() && inverse > 0.0 => 1.0 / inverse,
            _ => 0.0,
        }
    }
}
