//! The inner loops of narrow products for vectors of four lanes: sums stay in registers over a block of k.

use crate::ahead::Ahead;
use crate::simd::*;
use crate::span::{In, Out};
use crate::tile::{MR, NR, Tile, tile_from};

/// Steps of k of a block of rows.
pub const STEPS: usize = 512;

/// Whether x's rows are better read where they lie, `size` numbers in all, than packed. Its loop does not quite reach that
/// of packed panels, so packing pays where more than one panel is made of a packed x, unless it goes out of the cache.
pub fn rows_pay(of_columns: bool, size: usize, narrow: usize) -> bool {
    of_columns && (narrow <= NR || size >= 1 << 19)
}

/// Whether a piece of x is copied before it is read once for each panel: where its rows, `lead` values apart, share sets of
/// the cache.
pub fn copies(lead: usize) -> bool {
    lead.is_multiple_of(1024)
}

/// The sums of a tile, `lead` apart, or zeros where `fresh`.
///
/// # Safety
/// Unless fresh, they are there.
#[inline(always)]
unsafe fn read(sums: In<f32>, lead: usize, fresh: bool) -> Tile {
    // SAFETY: the caller's promise.
    unsafe {
        core::array::from_fn(|r| {
            let at = sums.wrapping_add(r * lead);
            if fresh { [splat(0.0); 2] } else { [load(at), load(at.add(4))] }
        })
    }
}

/// # Safety
/// There is room for the tile's rows, `lead` apart.
#[inline(always)]
unsafe fn write(c: &Tile, sums: Out<f32>, lead: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for (r, row) in c.iter().enumerate() {
            store(sums.add(r * lead), row[0]);
            store(sums.add(r * lead + 4), row[1]);
        }
    }
}

/// sums [MR, NR] += Σ_k lines[MR][k] ⊗ s[k][NR]; written anew where `fresh`. Four steps of k of a line come as one vector.
///
/// # Safety
/// Each line holds k numbers, s k steps of NR; sums is room for MR rows of NR, `lead` apart.
#[inline(never)]
pub unsafe fn rows(
    k: usize,
    lines: &[In<f32>; MR],
    s: In<f32>,
    _columns: usize,
    sums: Out<f32>,
    lead: usize,
    fresh: bool,
) {
    // SAFETY: the caller's promise; `end` is where whole fours of the first line do, and of the others with it.
    unsafe {
        let mut c = read(*sums, lead, fresh);
        let [mut x0, mut x1, mut x2, mut x3] = *lines;
        let mut s = s;
        let end = x0.add(k / 4 * 4).ptr();
        while x0.ptr() != end {
            let x = [load(x0), load(x1), load(x2), load(x3)];
            macro_rules! step {
                ($lane:literal) => {
                    let (s0, s1) = (load(s.add(NR * $lane)), load(s.add(NR * $lane + 4)));
                    for r in 0..MR {
                        let a = i32x4_shuffle::<$lane, $lane, $lane, $lane>(x[r], x[r]);
                        c[r] = [madd(a, s0, c[r][0]), madd(a, s1, c[r][1])];
                    }
                };
            }
            step!(0);
            step!(1);
            step!(2);
            step!(3);
            (x0, x1, x2, x3, s) = (x0.add(4), x1.add(4), x2.add(4), x3.add(4), s.add(4 * NR));
        }
        for p in 0..k % 4 {
            let (s0, s1) = (load(s.add(NR * p)), load(s.add(NR * p + 4)));
            for (r, x) in [x0, x1, x2, x3].into_iter().enumerate() {
                let a = splat(x.at(p));
                c[r] = [madd(a, s0, c[r][0]), madd(a, s1, c[r][1])];
            }
        }
        write(&c, sums, lead);
    }
}

/// sums [panels · MR, width] += Σ_k s[panel][k][MR] ⊗ x[k][width], `width` a multiple of NR and the sums' rows' length.
///
/// # Safety
/// s holds the panels of k steps, `step` apart, x k rows of `width` numbers, `lead` apart; sums is room for all sums.
pub unsafe fn columns(
    k: usize,
    s: In<f32>,
    step: usize,
    panels: usize,
    x: In<f32>,
    lead: usize,
    width: usize,
    sums: Out<f32>,
    fresh: bool,
    _: &mut Ahead,
) {
    debug_assert!(width.is_multiple_of(NR), "{width} columns");
    // SAFETY: the caller's promise; NR columns from j on end at `width`.
    unsafe {
        for j in (0..width).step_by(NR) {
            for panel in 0..panels {
                column(k, s.add(panel * step), x.add(j), lead, sums.add(panel * MR * width + j), width, fresh);
            }
        }
    }
}

/// # Safety
/// As for `columns` of one panel and NR columns.
#[inline(never)]
unsafe fn column(k: usize, s: In<f32>, x: In<f32>, lead: usize, sums: Out<f32>, width: usize, fresh: bool) {
    // SAFETY: the caller's promise.
    unsafe { write(&tile_from(read(*sums, width, fresh), k, s, x, lead), sums, width) }
}
