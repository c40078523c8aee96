//! The product's inner loop for machines other than WebAssembly: as wide as the vectors that are compiled for. A tile of out
//! stays in registers over a block of k; numbers of A are broadcast from memory.

use crate::portable_simd::madd;
use crate::span::{In, Out};
use core::simd::Simd;

/// Lanes of a vector.
pub const LANES: usize = if cfg!(target_feature = "avx512f") {
    16
} else if cfg!(target_feature = "avx") {
    8
} else {
    4
};
/// Vectors of a row.
const WIDE: usize = 2;
/// Rows of a tile: as many sums as hide the latency of multiply-adds, and fit the registers.
pub const MR: usize = if cfg!(any(target_feature = "avx512f", target_arch = "aarch64")) { 8 } else { 4 };
/// Columns of a tile.
pub const NR: usize = WIDE * LANES;
/// Steps of k of one panel block: NR columns of it stay in the first-level cache.
pub const KC: usize = if LANES == 16 { 256 } else { 384 };

pub type Vector = Simd<f32, LANES>;
type Row = [Vector; WIDE];
pub type Tile = [Row; MR];

/// # Safety
/// LANES numbers are there.
#[inline(always)]
#[track_caller]
pub unsafe fn load(p: In<f32>) -> Vector {
    p.holds(LANES);
    // SAFETY: the caller's promise.
    unsafe { (p.ptr() as *const Vector).read_unaligned() }
}

/// # Safety
/// There is room for LANES numbers.
#[inline(always)]
#[track_caller]
pub unsafe fn store(p: Out<f32>, x: Vector) {
    p.holds(LANES);
    // SAFETY: the caller's promise.
    unsafe { (p.ptr() as *mut Vector).write_unaligned(x) }
}

/// c = Σ_k a[k][MR] ⊗ b[k][NR].
///
/// # Safety
/// a and b hold k steps of MR and NR numbers.
#[inline(always)]
pub unsafe fn tile(k: usize, a: In<f32>, b: In<f32>) -> Tile {
    // SAFETY: the caller's promise; a step goes to the next, and after the last to the end.
    unsafe {
        let mut c = [[Simd::splat(0.0); WIDE]; MR];
        let (mut a, mut b) = (a, b);
        for _ in 0..k {
            let row: Row = core::array::from_fn(|v| load(b.add(v * LANES)));
            for (r, c) in c.iter_mut().enumerate() {
                let x = Simd::splat(a.at(r));
                for (c, y) in c.iter_mut().zip(row) {
                    *c = madd(x, y, *c);
                }
            }
            a = a.add(MR);
            b = b.add(NR);
        }
        c
    }
}

/// Writes a tile, or adds it, to `rows` × `columns` of out.
///
/// # Safety
/// out is room for as many rows, `lead` apart, and no more than the tile has.
#[inline(always)]
pub unsafe fn put(c: &Tile, out: Out<f32>, lead: usize, rows: usize, columns: usize, fresh: bool) {
    debug_assert!(rows <= MR && columns <= NR, "{rows} by {columns} of a tile");
    // SAFETY: the caller's promise.
    unsafe {
        if rows == MR && columns == NR {
            for (r, row) in c.iter().enumerate() {
                for (v, x) in row.iter().enumerate() {
                    let to = out.add(r * lead + v * LANES);
                    store(to, if fresh { *x } else { load(*to) + *x });
                }
            }
        } else {
            for (r, row) in c.iter().enumerate().take(rows) {
                for j in 0..columns {
                    let at = r * lead + j;
                    out.put(at, if fresh { 0.0 } else { out.at(at) } + row[j / LANES][j % LANES]);
                }
            }
        }
    }
}
