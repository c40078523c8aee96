//! The random part of the Fastfood transform and its transpose, drawn where it is used: of the output's size nothing is
//! stored. Oracle: the composition of general ops in core/linear_maps/fastfood.ts.
//!
//!   out = first D of H (G ⊙ t[Π mod k]) / √(D Σ G²)        rows of n outputs from k numbers each; G and Σ G² a row's own

use crate::optimizer::threefry;
use crate::simd::*;
use crate::walsh::{PIECE, across_pieces, transform};
use crate::{math, memory, pool};

/// Numbers of a thread's buffer: a piece, and what drawing by sixteens writes beyond it.
const ROOM: usize = PIECE + 16;
/// Tasks of one row that collect into tables of their own, at most.
const COLLECTORS: usize = 32;
/// Work of drawing, gathering and transforming a number, in nanoseconds.
const COST: usize = 8;

/// A permutation of 0..n: rounds of an odd multiplication, an addition, and high bits folded onto low ones.
#[derive(Clone, Copy)]
struct Mixing {
    mask: u32,
    fold: u32,
    words: [u32; 8],
}

/// One transform's shape and draws.
#[derive(Clone, Copy)]
struct Transform {
    k: usize,
    n: usize,
    size: usize,
    key: [u32; 2],
    mixing: Mixing,
}

impl Transform {
    unsafe fn new(k: usize, n: usize, size: usize, key: [u32; 2], words: usize) -> Self {
        let words = core::array::from_fn(|i| unsafe { *(words as *const usize).add(i) as u32 });
        let mixing = Mixing { mask: n as u32 - 1, fold: n.trailing_zeros().div_ceil(2).max(1), words };
        Transform { k, n, size, key, mixing }
    }

    fn rows(&self) -> usize {
        self.size.div_ceil(self.n)
    }

    /// Where positions at..at + 4 of a row read in the table.
    #[inline(always)]
    fn places(&self, at: usize) -> [usize; 4] {
        let Mixing { mask, fold, words } = self.mixing;
        let mut x = i32x4_add(u32x4_splat(at as u32), u32x4(0, 1, 2, 3));
        for round in words.chunks_exact(2) {
            x = i32x4_add(i32x4_mul(x, u32x4_splat(round[0])), u32x4_splat(round[1]));
            x = v128_and(x, u32x4_splat(mask));
            x = v128_xor(x, u32x4_shr(x, fold));
        }
        let x = v128_and(x, u32x4_splat(self.k as u32 - 1));
        [
            u32x4_extract_lane::<0>(x) as usize,
            u32x4_extract_lane::<1>(x) as usize,
            u32x4_extract_lane::<2>(x) as usize,
            u32x4_extract_lane::<3>(x) as usize,
        ]
    }

    /// G of places at..at + count of all rows' numbers, and the sum of its squares. Box and Muller's pairs from pairs of
    /// words. Writes whole sixteens.
    unsafe fn normals(&self, at: usize, count: usize, out: *mut f32) -> f64 {
        let unit = |bits: V| mul(f32x4_convert_u32x4(u32x4_shr(bits, 8)), splat(1.0 / 16_777_216.0));
        unsafe {
            let first = at / 8 * 8; // rows of fewer than eight begin anywhere
            let mut room = [0.0f32; 16];
            let to = if count < 16 { room.as_mut_ptr() } else { out };
            for i in (0..at + count - first).step_by(16) {
                let (x, y) = threefry(self.key[0], self.key[1], ((first + i) / 2) as u32);
                for u in 0..2 {
                    let radius = f32x4_sqrt(mul(math::log(sub(splat(1.0), unit(x[u]))), splat(-2.0)));
                    let (cos, sin) = math::turn(unit(y[u]));
                    let (a, b) = (mul(radius, cos), mul(radius, sin));
                    store(to.add(i + 8 * u), i32x4_shuffle::<0, 4, 1, 5>(a, b));
                    store(to.add(i + 8 * u + 4), i32x4_shuffle::<2, 6, 3, 7>(a, b));
                }
            }
            if count < 16 {
                core::ptr::copy_nonoverlapping(to.add(at - first), out, count);
            }
            let square = |v: V| mul(v, v);
            sum(count, |i| square(load(out.add(i))), |i| *out.add(i) * *out.add(i))
        }
    }

    /// G ⊙ t[Π] of places from..from + count of a row, and the sum of G's squares.
    unsafe fn gather(&self, row: usize, from: usize, count: usize, t: usize, out: *mut f32) -> f64 {
        unsafe {
            let table = (t as *const f32).add(row * self.k);
            let squares = self.normals(row * self.n + from, count, out);
            for i in (0..count).step_by(4) {
                let [a, b, c, d] = self.places(from + i);
                let read = f32x4(*table.add(a), *table.add(b), *table.add(c), *table.add(d));
                store(out.add(i), mul(load(out.add(i)), read));
            }
            squares
        }
    }

    /// Adds G ⊙ x, places from..from + count of a row, to the table's entries; gives the sum of G's squares.
    unsafe fn scatter(
        &self,
        row: usize,
        from: usize,
        count: usize,
        x: *const f32,
        normal: *mut f32,
        table: *mut f32,
    ) -> f64 {
        unsafe {
            let squares = self.normals(row * self.n + from, count, normal);
            for i in (0..count).step_by(4) {
                let places = self.places(from + i);
                for (lane, place) in places.into_iter().enumerate().take(count - i) {
                    *table.add(place) += *x.add(i + lane) * *normal.add(i + lane);
                }
            }
            squares
        }
    }

    fn scale(&self, squares: f64) -> V {
        splat((1.0 / (self.size as f64 * squares).sqrt()) as f32)
    }

    /// Numbers of row `row` from `at` on, `count` of them: zeros past the end.
    unsafe fn take(&self, g: usize, row: usize, at: usize, count: usize, to: *mut f32) {
        unsafe {
            let at = row * self.n + at;
            let there = count.min(self.size.saturating_sub(at));
            core::ptr::copy_nonoverlapping((g as *const f32).add(at), to, there);
            core::slice::from_raw_parts_mut(to.add(there), count - there).fill(0.0);
        }
    }

    /// Writes those that are there, times a factor.
    unsafe fn put(&self, out: usize, row: usize, at: usize, count: usize, by: V, from: *const f32) {
        unsafe {
            let at = row * self.n + at;
            let there = count.min(self.size.saturating_sub(at));
            if there > 0 {
                map1(from, (out as *mut f32).add(at), 0, there, |v| mul(v, by));
            }
        }
    }
}

/// out [size] from t [rows, k], in rows of n outputs; k ≤ n are powers of two. `mixing`: eight words. `work`: room for n
/// numbers where n exceeds a piece.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn fastfood(
    t: usize,
    k: usize,
    n: usize,
    size: usize,
    key_a: u32,
    key_b: u32,
    mixing: usize,
    work: usize,
    out: usize,
) {
    let p = unsafe { Transform::new(k, n, size, [key_a, key_b], mixing) };
    let (t, work, out, n) = (t, work, out, p.n);
    if n <= PIECE {
        let together = PIECE / n;
        let (scratch, step) = memory::private(4 * ROOM);
        return pool::run(p.rows().div_ceil(together), COST * p.rows() * n, |task, thread| unsafe {
            let x = (scratch + thread * step) as *mut f32;
            for row in task * together..p.rows().min((task + 1) * together) {
                let squares = p.gather(row, 0, n, t, x);
                transform(x, n);
                p.put(out, row, 0, n, p.scale(squares), x);
            }
        });
    }
    let pieces = n / PIECE;
    let sums = memory::shared(8 * pieces);
    for row in 0..p.rows() {
        pool::run(pieces, COST * n, |task, _| unsafe {
            let x = (work as *mut f32).add(task * PIECE);
            *(sums as *mut f64).add(task) = p.gather(row, task * PIECE, PIECE, t, x);
            transform(x, PIECE);
        });
        let by = p.scale(unsafe { total(sums, pieces) });
        across_pieces(
            n,
            |at, count, to| unsafe { core::ptr::copy_nonoverlapping((work as *const f32).add(at), to, count) },
            |at, count, from| unsafe { p.put(out, row, at, count, by, from) },
        );
    }
}

unsafe fn total(sums: usize, n: usize) -> f64 {
    unsafe { core::slice::from_raw_parts(sums as *const f64, n).iter().sum() }
}

/// The transpose: t [rows, k] from g [size]. `work`: room for n numbers and k for each of `collectors(k, n)` tasks, where n
/// exceeds a piece.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn fastfood_transpose(
    g: usize,
    k: usize,
    n: usize,
    size: usize,
    key_a: u32,
    key_b: u32,
    mixing: usize,
    work: usize,
    t: usize,
) {
    let p = unsafe { Transform::new(k, n, size, [key_a, key_b], mixing) };
    let (g, work, t, n) = (g, work, t, p.n);
    if n <= PIECE {
        let together = PIECE / n;
        let (scratch, step) = memory::private(8 * ROOM);
        return pool::run(p.rows().div_ceil(together), COST * p.rows() * n, |task, thread| unsafe {
            let x = (scratch + thread * step) as *mut f32;
            for row in task * together..p.rows().min((task + 1) * together) {
                p.take(g, row, 0, n, x);
                transform(x, n);
                let table = (t as *mut f32).add(row * p.k);
                core::slice::from_raw_parts_mut(table, p.k).fill(0.0);
                let by = p.scale(p.scatter(row, 0, n, x, x.add(ROOM), table));
                map1(table, table, 0, p.k, |v| mul(v, by));
            }
        });
    }
    let pieces = n / PIECE;
    let tasks = collectors(k, n);
    let each = pieces.div_ceil(tasks);
    let sums = memory::shared(8 * pieces);
    let tables = work + 4 * n;
    for row in 0..p.rows() {
        across_pieces(
            n,
            |at, count, to| unsafe { p.take(g, row, at, count, to) },
            |at, count, from| unsafe { core::ptr::copy_nonoverlapping(from, (work as *mut f32).add(at), count) },
        );
        let (scratch, step) = memory::private(4 * ROOM);
        pool::run(tasks, COST * n, |task, thread| unsafe {
            let table = (tables as *mut f32).add(task * p.k);
            core::slice::from_raw_parts_mut(table, p.k).fill(0.0);
            for piece in task * each..pieces.min((task + 1) * each) {
                let x = (work as *mut f32).add(piece * PIECE);
                transform(x, PIECE);
                let normal = (scratch + thread * step) as *mut f32;
                *(sums as *mut f64).add(piece) = p.scatter(row, piece * PIECE, PIECE, x, normal, table);
            }
        });
        let by = p.scale(unsafe { total(sums, pieces) });
        let to = t + 4 * row * p.k;
        pool::pieces(p.k, 16_384, 400 * tasks, |start, end| unsafe {
            let to = to as *mut f32;
            core::slice::from_raw_parts_mut(to.add(start), end - start).fill(0.0);
            for task in 0..tasks {
                map2(to, (tables as *const f32).add(task * p.k), to, start, end, add);
            }
            map1(to, to, start, end, |v| mul(v, by));
        });
    }
}

/// How many tasks collect a row of n > 4096 numbers into k: their tables together are no larger than the row.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn collectors(k: usize, n: usize) -> usize {
    (n / k).clamp(1, COLLECTORS.min(n / PIECE))
}
