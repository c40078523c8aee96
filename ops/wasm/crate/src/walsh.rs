//! The Walsh–Hadamard transform: y_i = Σ_j (−1)^(bits of i and j) x_j, for lengths that are powers of two, in log₂ n passes of
//! sums and differences, four passes at a time where the numbers lie in registers. Longer rows than a piece are transformed
//! piece by piece and then across the pieces, a strip of columns at a time. Oracle: ops/reference/walsh_hadamard.ts.

use crate::simd::*;
use crate::span::{In, Out};
use crate::{memory, pool};

/// Numbers that stay in the L1 cache while they are transformed.
pub const PIECE: usize = 4096;
/// Numbers of a strip across the pieces.
const STRIP: usize = 8192;

/// Passes 1 and 2 within a vector.
#[inline(always)]
fn within(x: V) -> V {
    let odd = i32x4(0, i32::MIN, 0, i32::MIN);
    let high = i32x4(0, 0, i32::MIN, i32::MIN);
    let x = add(i32x4_shuffle::<1, 0, 3, 2>(x, x), v128_xor(x, odd));
    add(i32x4_shuffle::<2, 3, 0, 1>(x, x), v128_xor(x, high))
}

/// Two passes over four vectors.
#[inline(always)]
fn across(v: [V; 4]) -> [V; 4] {
    let [a, b, c, d] = v;
    let (s, t, u, w) = (add(a, b), sub(a, b), add(c, d), sub(c, d));
    [add(s, u), add(t, w), sub(s, u), sub(t, w)]
}

/// The passes of distance `h`, 2h, … n / 2 over n numbers; h is a multiple of 4.
///
/// # Safety
/// x holds n numbers, a power of two.
unsafe fn passes(x: Out<f32>, n: usize, mut h: usize) {
    debug_assert!(n.is_power_of_two() && h.is_multiple_of(4), "passes of {h} over {n}");
    // SAFETY: four numbers from i + 3 h on end with a block, and blocks with n.
    unsafe {
        while 4 * h <= n {
            for block in (0..n).step_by(4 * h) {
                for i in (block..block + h).step_by(4) {
                    let v = across([0, 1, 2, 3].map(|k| load(*x.add(i + k * h))));
                    for (k, v) in v.into_iter().enumerate() {
                        store(x.add(i + k * h), v);
                    }
                }
            }
            h *= 4;
        }
        if 2 * h <= n {
            for i in (0..h).step_by(4) {
                let (a, b) = (load(*x.add(i)), load(*x.add(i + h)));
                store(x.add(i), add(a, b));
                store(x.add(i + h), sub(a, b));
            }
        }
    }
}

/// Transforms n numbers in place.
///
/// # Safety
/// x holds n numbers, a power of two.
pub unsafe fn transform(x: Out<f32>, n: usize) {
    // SAFETY: the caller's promise; numbers come by twos below 4, by fours below 16 and by sixteens from there on.
    unsafe {
        if n < 4 {
            let mut h = 1;
            while h < n {
                let (a, b) = (x.at(0), x.at(h));
                x.put(0, a + b);
                x.put(h, a - b);
                h *= 2;
            }
            return;
        }
        if n < 16 {
            for i in (0..n).step_by(4) {
                store(x.add(i), within(load(*x.add(i))));
            }
            return passes(x, n, 4);
        }
        for i in (0..n).step_by(16) {
            let v = across([0, 4, 8, 12].map(|k| within(load(*x.add(i + k)))));
            for (k, v) in v.into_iter().enumerate() {
                store(x.add(i + 4 * k), v);
            }
        }
        passes(x, n, 16)
    }
}

/// The passes across the pieces of one row of n numbers, a strip of columns at a time: `read(at, count, to)` copies numbers
/// at..at + count of the row to `to`, and `write(at, count, from)` takes the results.
pub fn across_pieces(
    n: usize,
    read: impl Fn(usize, usize, Out<f32>) + Sync,
    write: impl Fn(usize, usize, In<f32>) + Sync,
) {
    let rows = n / PIECE;
    let width = (STRIP / rows).clamp(16, 64);
    let scratch = memory::private(rows * width);
    // SAFETY: a thread's scratch is `rows` rows of `width` numbers, both powers of two.
    pool::run(PIECE / width, 2 * n, |task, thread| unsafe {
        let strip = scratch.of(thread);
        for row in 0..rows {
            read(row * PIECE + task * width, width, strip.add(row * width));
        }
        passes(strip, rows * width, width);
        for row in 0..rows {
            write(row * PIECE + task * width, width, *strip.add(row * width));
        }
    });
}

/// out = the transforms of `rows` rows of n numbers, n a power of two. `out` may be `x`.
///
/// # Safety
/// x and out are rows · n numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn walsh_hadamard(x: usize, rows: usize, n: usize, out: usize) {
    // SAFETY: the caller's promise.
    let (x, out) = unsafe { (In::new(x, rows * n), Out::new(out, rows * n)) };
    let piece = PIECE.min(n);
    let together = (PIECE / piece).min(rows);
    let pieces = rows * (n / piece);
    // SAFETY: piece `at` < pieces ends with the rows.
    pool::run(pieces.div_ceil(together.max(1)), rows * n * 2, |task, _| unsafe {
        for at in task * together..pieces.min((task + 1) * together) {
            let to = out.add(at * piece);
            to.copy_over(x.add(at * piece), piece);
            transform(to, piece);
        }
    });
    if n > PIECE {
        for row in 0..rows {
            // SAFETY: `across_pieces` asks for numbers of a row, and each of them in one task.
            unsafe {
                let base = out.add(n * row);
                across_pieces(
                    n,
                    |at, count, to| to.copy(*base.add(at), count),
                    |at, count, from| base.add(at).copy(from, count),
                );
            }
        }
    }
}
