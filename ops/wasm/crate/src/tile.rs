//! The product's inner loop for vectors of four lanes: a tile of out stays in registers over a block of k.

use crate::simd::*;
use crate::span::{In, Out};

/// Rows of a tile.
pub const MR: usize = 4;
/// Columns of a tile.
pub const NR: usize = 8;
/// Steps of k of one panel block: 8 columns of it stay in the first-level cache.
pub const KC: usize = 384;

pub type Tile = [[V; 2]; 4];

/// A tile of 4 × 8: c = Σ_k a[k][4] ⊗ b[k][8]. A comes as one vector whose lanes are broadcast by shuffles: in V8 that is
/// faster than a load for each lane.
///
/// # Safety
/// a and b hold k steps of MR and NR numbers.
#[inline(always)]
pub unsafe fn tile(k: usize, a: In<f32>, b: In<f32>) -> Tile {
    // SAFETY: the caller's promise.
    unsafe { tile_from([[splat(0.0); 2]; 4], k, a, b, NR) }
}

/// The same added to c, with rows of b `step` values apart.
///
/// # Safety
/// a holds k steps of MR numbers, b k rows of NR.
#[inline(always)]
pub unsafe fn tile_from(mut c: Tile, k: usize, a: In<f32>, b: In<f32>, step: usize) -> Tile {
    // SAFETY: the caller's promise; `end` is where the k steps of a do.
    unsafe {
        let (mut a, mut b) = (a, b);
        let end = a.add(MR * k).ptr();
        while a.ptr() != end {
            let (b0, b1) = (load(b), load(b.add(4)));
            let av = load(a);
            let a0 = i32x4_shuffle::<0, 0, 0, 0>(av, av);
            c[0] = [madd(a0, b0, c[0][0]), madd(a0, b1, c[0][1])];
            let a1 = i32x4_shuffle::<1, 1, 1, 1>(av, av);
            c[1] = [madd(a1, b0, c[1][0]), madd(a1, b1, c[1][1])];
            let a2 = i32x4_shuffle::<2, 2, 2, 2>(av, av);
            c[2] = [madd(a2, b0, c[2][0]), madd(a2, b1, c[2][1])];
            let a3 = i32x4_shuffle::<3, 3, 3, 3>(av, av);
            c[3] = [madd(a3, b0, c[3][0]), madd(a3, b1, c[3][1])];
            a = a.add(MR);
            b = b.wrapping_add(step);
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
                let to = out.add(r * lead);
                if fresh {
                    store(to, row[0]);
                    store(to.add(4), row[1]);
                } else {
                    store(to, add(load(*to), row[0]));
                    store(to.add(4), add(load(*to.add(4)), row[1]));
                }
            }
        } else {
            let values = c.map(|row| row.map(lanes_of));
            for r in 0..rows {
                for j in 0..columns {
                    let at = r * lead + j;
                    out.put(at, if fresh { 0.0 } else { out.at(at) } + values[r][j / 4][j % 4]);
                }
            }
        }
    }
}

fn lanes_of(x: V) -> [f32; 4] {
    [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
}
