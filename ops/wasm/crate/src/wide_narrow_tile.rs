//! The inner loops of narrow products for machines other than WebAssembly: sums stay in registers over a block of k.

use crate::ahead::{Ahead, fetch_near};
use crate::portable_simd::madd;
use crate::span::{In, Out};
use crate::tile::{LANES, MR, NR, Vector, load, store};

/// Steps of k of a block of rows.
pub const STEPS: usize = 1024;

/// Whether x's rows are better read where they lie than packed.
pub fn rows_pay(_of_columns: bool, _size: usize, _narrow: usize) -> bool {
    true
}

/// Whether a piece of x is copied before it is read.
pub fn copies(_lead: usize) -> bool {
    false
}

/// Values of a line of the cache, and how far ahead of the sums the lines of x are fetched.
const LINE: usize = 16;
const AHEAD: usize = 64;
/// Panels of MR numbers that are multiplied at once with one vector: as many sums as fit the registers.
const PANELS: usize = if MR == 8 { 3 } else { 2 };

/// sums [MR, NR] += Σ_k lines[MR][k] ⊗ s[k][NR]; written anew where `fresh`. At least the first `columns` are right.
///
/// # Safety
/// Each line holds k numbers, s k steps of NR; sums is room for MR rows of NR, `lead` apart.
pub unsafe fn rows(
    k: usize,
    lines: &[In<f32>; MR],
    s: In<f32>,
    columns: usize,
    sums: Out<f32>,
    lead: usize,
    fresh: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if columns > LANES {
            rows_of::<2>(k, lines, s, sums, lead, fresh)
        } else {
            rows_of::<1>(k, lines, s, sums, lead, fresh)
        }
    }
}

/// # Safety
/// As for `rows`.
#[inline(never)]
unsafe fn rows_of<const V: usize>(
    k: usize,
    lines: &[In<f32>; MR],
    s: In<f32>,
    sums: Out<f32>,
    lead: usize,
    fresh: bool,
) {
    // SAFETY: the caller's promise; p < k, and V vectors are at most NR numbers.
    unsafe {
        let mut c = read::<MR, V>(*sums, lead, fresh);
        for p in 0..k {
            if p % LINE == 0 {
                for line in lines {
                    fetch_near(line.wrapping_add(p + AHEAD));
                }
            }
            let row: [Vector; V] = core::array::from_fn(|v| load(s.add(p * NR + v * LANES)));
            for (line, c) in lines.iter().zip(&mut c) {
                let x = Vector::splat(line.at(p));
                for (c, y) in c.iter_mut().zip(row) {
                    *c = madd(x, y, *c);
                }
            }
        }
        write(&c, sums, lead);
    }
}

/// sums [panels · MR, width] += Σ_k s[panel][k][MR] ⊗ x[k][width], `width` a multiple of NR and the sums' rows' length. Each
/// four steps fetch a share `ahead`.
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
    ahead: &mut Ahead,
) {
    debug_assert!(width.is_multiple_of(NR), "{width} columns");
    // SAFETY: the caller's promise; `count` panels from `panel` on are there.
    unsafe {
        let mut panel = 0;
        while panel < panels {
            let (from, to) = (s.add(panel * step), sums.add(panel * MR * width));
            // Four panels are two and two rather than three and one.
            let (run, count): (Columns, usize) = match panels - panel {
                1 => (columns_of::<1, 2>, 1),
                3 if PANELS == 3 => (columns_of::<3, 1>, 3),
                _ => (columns_of::<2, 1>, 2),
            };
            run(k, from, step, x, lead, width, to, fresh, ahead);
            panel += count;
        }
    }
}

type Columns = unsafe fn(usize, In<f32>, usize, In<f32>, usize, usize, Out<f32>, bool, &mut Ahead);

/// P panels by V vectors at a time.
///
/// # Safety
/// As for `columns` of P panels.
unsafe fn columns_of<const P: usize, const V: usize>(
    k: usize,
    s: In<f32>,
    step: usize,
    x: In<f32>,
    lead: usize,
    width: usize,
    sums: Out<f32>,
    fresh: bool,
    ahead: &mut Ahead,
) {
    // SAFETY: the caller's promise; V vectors from j on end at `width`, p < k, i < P and r < MR.
    unsafe {
        for j in (0..width).step_by(V * LANES) {
            let to: [Out<f32>; P] = core::array::from_fn(|i| sums.add(i * MR * width + j));
            let mut c = to.map(|to| read::<MR, V>(*to, width, fresh));
            for p in 0..k {
                if p % 4 == 0 {
                    ahead.step();
                }
                let row: [Vector; V] = core::array::from_fn(|v| load(x.add(p * lead + j + v * LANES)));
                for (i, c) in c.iter_mut().enumerate() {
                    for (r, c) in c.iter_mut().enumerate() {
                        let y = Vector::splat(s.at(i * step + p * MR + r));
                        for (c, x) in c.iter_mut().zip(row) {
                            *c = madd(x, y, *c);
                        }
                    }
                }
            }
            for (c, to) in c.iter().zip(to) {
                write(c, to, width);
            }
        }
    }
}

/// The sums of a tile, `lead` apart, or zeros where `fresh`.
///
/// # Safety
/// Unless fresh, they are there.
#[inline(always)]
unsafe fn read<const R: usize, const V: usize>(sums: In<f32>, lead: usize, fresh: bool) -> [[Vector; V]; R] {
    // SAFETY: the caller's promise.
    unsafe {
        core::array::from_fn(|r| {
            core::array::from_fn(|v| if fresh { Vector::splat(0.0) } else { load(sums.add(r * lead + v * LANES)) })
        })
    }
}

/// # Safety
/// There is room for the tile's rows, `lead` apart.
#[inline(always)]
unsafe fn write<const R: usize, const V: usize>(c: &[[Vector; V]; R], sums: Out<f32>, lead: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for (r, row) in c.iter().enumerate() {
            for (v, x) in row.iter().enumerate() {
                store(sums.add(r * lead + v * LANES), *x);
            }
        }
    }
}
