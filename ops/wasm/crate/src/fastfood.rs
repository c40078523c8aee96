//! The random part of the Fastfood transform and its transpose, drawn where it is used: of the output's size nothing is
//! stored. Oracle: the composition of general ops in core/linear_maps/fastfood.ts.
//!
//!   out = first D of H (G ⊙ t[Π mod k]) / √(D Σ G²)        rows of n outputs from k numbers each; G and Σ G² a row's own

use crate::optimizer::threefry;
use crate::simd::*;
use crate::span::{In, Out};
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
    /// # Safety
    /// `words` is the address of eight.
    unsafe fn new(k: usize, n: usize, size: usize, key: [u32; 2], words: usize) -> Self {
        debug_assert!(k <= n && k.is_power_of_two() && n.is_power_of_two(), "{k} of {n}");
        // SAFETY: the caller's promise.
        let words = core::array::from_fn(|i| unsafe { In::<usize>::new(words, 8).at(i) as u32 });
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
    /// words. Writes whole sixteens, and whole fours of fewer than sixteen.
    ///
    /// # Safety
    /// out is room for them. Below eight `at` is a multiple of `count`, from there on of eight.
    unsafe fn normals(&self, at: usize, count: usize, out: Out<f32>) -> f64 {
        let unit = |bits: V| mul(f32x4_convert_u32x4(u32x4_shr(bits, 8)), splat(1.0 / 16_777_216.0));
        // SAFETY: the caller's promise: fewer than sixteen numbers end within sixteen from `first` on, more end where they do.
        unsafe {
            let first = at / 8 * 8; // rows of fewer than eight begin anywhere
            let mut room = [0.0f32; 16];
            let to = if count < 16 { Out::of(&mut room) } else { out };
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
                out.copy(*to.add(at - first), count.next_multiple_of(4));
            }
            let square = |v: V| mul(v, v);
            sum(count, |i| square(load(*out.add(i))), |i| out.at(i) * out.at(i))
        }
    }

    /// G ⊙ t[Π] of places from..from + count of a row, and the sum of G's squares.
    ///
    /// # Safety
    /// t holds a table of k numbers for each row; out is room for as many as `normals` writes.
    unsafe fn gather(&self, row: usize, from: usize, count: usize, t: In<f32>, out: Out<f32>) -> f64 {
        // SAFETY: the caller's promise; places lie below k.
        unsafe {
            let table = t.add(row * self.k);
            let squares = self.normals(row * self.n + from, count, out);
            for i in (0..count).step_by(4) {
                let [a, b, c, d] = self.places(from + i);
                let read = f32x4(table.at(a), table.at(b), table.at(c), table.at(d));
                store(out.add(i), mul(load(*out.add(i)), read));
            }
            squares
        }
    }

    /// Adds G ⊙ x, places from..from + count of a row, to the table's entries; gives the sum of G's squares.
    ///
    /// # Safety
    /// x holds `count` numbers and table k; normal is room for as many as `normals` writes.
    unsafe fn scatter(
        &self,
        row: usize,
        from: usize,
        count: usize,
        x: In<f32>,
        normal: Out<f32>,
        table: Out<f32>,
    ) -> f64 {
        // SAFETY: the caller's promise; places lie below k, and i + lane < count.
        unsafe {
            let squares = self.normals(row * self.n + from, count, normal);
            for i in (0..count).step_by(4) {
                let places = self.places(from + i);
                for (lane, place) in places.into_iter().enumerate().take(count - i) {
                    table.put(place, table.at(place) + x.at(i + lane) * normal.at(i + lane));
                }
            }
            squares
        }
    }

    fn scale(&self, squares: f64) -> V {
        splat((1.0 / (self.size as f64 * squares).sqrt()) as f32)
    }

    /// Numbers of row `row` from `at` on, `count` of them: zeros past the end.
    ///
    /// # Safety
    /// g holds `size` numbers, to room for `count`.
    unsafe fn take(&self, g: In<f32>, row: usize, at: usize, count: usize, to: Out<f32>) {
        // SAFETY: the caller's promise; `there` numbers from `at` on end at `size`, and where there are none none is read.
        unsafe {
            let at = row * self.n + at;
            let there = count.min(self.size.saturating_sub(at));
            if there > 0 {
                to.copy(g.add(at), there);
            }
            to.add(there).fill(count - there, 0.0);
        }
    }

    /// Writes those that are there, times a factor.
    ///
    /// # Safety
    /// out is room for `size` numbers, from holds `count`.
    unsafe fn put(&self, out: Out<f32>, row: usize, at: usize, count: usize, by: V, from: In<f32>) {
        // SAFETY: the caller's promise; `there` numbers from `at` on end at `size`.
        unsafe {
            let at = row * self.n + at;
            let there = count.min(self.size.saturating_sub(at));
            if there > 0 {
                map1(from, out.add(at), 0, there, |v| mul(v, by));
            }
        }
    }
}

/// out [size] from t [rows, k], in rows of n outputs; k ≤ n are powers of two. `mixing`: eight words. `work`: room for n
/// numbers where n exceeds a piece.
///
/// # Safety
/// All are as large.
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
    // SAFETY: the caller's promise; rows end at p.rows(), pieces of a row at n, and a thread's scratch is as large as
    // `normals` asks of it.
    unsafe {
        let p = Transform::new(k, n, size, [key_a, key_b], mixing);
        let (t, out) = (In::new(t, p.rows() * k), Out::new(out, size));
        if n <= PIECE {
            let together = PIECE / n;
            let scratch = memory::private(ROOM);
            return pool::run(p.rows().div_ceil(together), COST * p.rows() * n, |task, thread| {
                let x = scratch.of(thread);
                for row in task * together..p.rows().min((task + 1) * together) {
                    let squares = p.gather(row, 0, n, t, x);
                    transform(x, n);
                    p.put(out, row, 0, n, p.scale(squares), *x);
                }
            });
        }
        let work = Out::new(work, n);
        let pieces = n / PIECE;
        let sums = memory::shared::<f64>(pieces);
        for row in 0..p.rows() {
            pool::run(pieces, COST * n, |task, _| {
                let x = work.add(task * PIECE);
                sums.put(task, p.gather(row, task * PIECE, PIECE, t, x));
                transform(x, PIECE);
            });
            let by = p.scale(sums.slice(pieces).iter().sum());
            across_pieces(
                n,
                |at, count, to| to.copy(*work.add(at), count),
                |at, count, from| p.put(out, row, at, count, by, from),
            );
        }
    }
}

/// The transpose: t [rows, k] from g [size]. `work`: room for n numbers and k for each of `collectors(k, n)` tasks, where n
/// exceeds a piece.
///
/// # Safety
/// All are as large.
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
    // SAFETY: the caller's promise; rows end at p.rows(), pieces of a row at n, tasks' tables at `tasks` of k, and a thread's
    // scratch is as large as `normals` asks of it.
    unsafe {
        let p = Transform::new(k, n, size, [key_a, key_b], mixing);
        let (g, t) = (In::new(g, size), Out::new(t, p.rows() * k));
        if n <= PIECE {
            let together = PIECE / n;
            let scratch = memory::private(2 * ROOM);
            return pool::run(p.rows().div_ceil(together), COST * p.rows() * n, |task, thread| {
                let x = scratch.of(thread);
                for row in task * together..p.rows().min((task + 1) * together) {
                    p.take(g, row, 0, n, x);
                    transform(x, n);
                    let table = t.add(row * k);
                    table.fill(k, 0.0);
                    let by = p.scale(p.scatter(row, 0, n, *x, x.add(ROOM), table));
                    map1(*table, table, 0, k, |v| mul(v, by));
                }
            });
        }
        let pieces = n / PIECE;
        let tasks = collectors(k, n);
        let each = pieces.div_ceil(tasks);
        let sums = memory::shared::<f64>(pieces);
        let work = Out::new(work, n + k * tasks);
        let tables = work.add(n);
        for row in 0..p.rows() {
            across_pieces(
                n,
                |at, count, to| p.take(g, row, at, count, to),
                |at, count, from| work.add(at).copy(from, count),
            );
            let scratch = memory::private(ROOM);
            pool::run(tasks, COST * n, |task, thread| {
                let table = tables.add(task * k);
                table.fill(k, 0.0);
                for piece in task * each..pieces.min((task + 1) * each) {
                    let x = work.add(piece * PIECE);
                    transform(x, PIECE);
                    sums.put(piece, p.scatter(row, piece * PIECE, PIECE, *x, scratch.of(thread), table));
                }
            });
            let by = p.scale(sums.slice(pieces).iter().sum());
            let to = t.add(row * k);
            pool::pieces(k, 16_384, 400 * tasks, |start, end| {
                to.add(start).fill(end - start, 0.0);
                for task in 0..tasks {
                    map2(*to, *tables.add(task * k), to, start, end, add);
                }
                map1(*to, to, start, end, |v| mul(v, by));
            });
        }
    }
}

/// How many tasks collect a row of n > 4096 numbers into k: their tables together are no larger than the row.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn collectors(k: usize, n: usize) -> usize {
    (n / k).clamp(1, COLLECTORS.min(n / PIECE))
}
