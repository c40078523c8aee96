//! The product's inner loop for machines other than WebAssembly: as wide as the vectors that are compiled for. A tile of out
//! stays in registers over a block of k; numbers of A are broadcast from memory.

use crate::portable_simd::madd;
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

#[inline(always)]
pub unsafe fn load(p: *const f32) -> Vector {
    unsafe { (p as *const Vector).read_unaligned() }
}

#[inline(always)]
pub unsafe fn store(p: *mut f32, x: Vector) {
    unsafe { (p as *mut Vector).write_unaligned(x) }
}

/// c = Σ_k a[k][MR] ⊗ b[k][NR].
#[inline(always)]
pub unsafe fn tile(k: usize, a: *const f32, b: *const f32) -> Tile {
    unsafe {
        let mut c = [[Simd::splat(0.0); WIDE]; MR];
        let (mut a, mut b) = (a, b);
        for _ in 0..k {
            let row: Row = core::array::from_fn(|v| load(b.add(v * LANES)));
            for (r, c) in c.iter_mut().enumerate() {
                let x = Simd::splat(*a.add(r));
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
#[inline(always)]
pub unsafe fn put(c: &Tile, out: *mut f32, lead: usize, rows: usize, columns: usize, fresh: bool) {
    unsafe {
        if rows == MR && columns == NR {
            for (r, row) in c.iter().enumerate() {
                for (v, x) in row.iter().enumerate() {
                    let to = out.add(r * lead + v * LANES);
                    store(to, if fresh { *x } else { load(to) + *x });
                }
            }
        } else {
            for (r, row) in c.iter().enumerate().take(rows) {
                for j in 0..columns {
                    let to = out.add(r * lead + j);
                    *to = if fresh { 0.0 } else { *to } + row[j / LANES][j % LANES];
                }
            }
        }
    }
}
