//! Panels for the product's inner loop: a tile's rows of A side by side for every k, a tile's columns of B side by side, short
//! ones filled with zeros. Both stored orientations are read along their contiguous axis.

use crate::decode::{Weight, dtype};
use crate::movement::transpose4;
use crate::simd::*;
use crate::span::{In, Out};
use crate::tile::{MR, NR};

/// A run of stored elements as f32: in place, or decoded into `buffer`.
///
/// # Safety
/// The weight has the n elements from `start` on; unless they are f32, buffer is room for as many.
#[inline(always)]
pub unsafe fn segment(w: &Weight, start: usize, n: usize, buffer: Out<f32>) -> In<f32> {
    // SAFETY: the caller's promise.
    unsafe {
        if w.dtype == dtype::F32 {
            w.base.cast().add(start)
        } else {
            w.decode(start, n, buffer);
            *buffer
        }
    }
}

/// One panel [k][MR] of rows `row..row + rows` (rows ≤ MR) of A; `across` is the distance between rows, `along` between
/// steps of k, one of them 1.
///
/// # Safety
/// a holds as many rows of k numbers, so far apart; out is room for MR · k numbers.
pub unsafe fn panel_a(a: In<f32>, rows: usize, k: usize, across: usize, along: usize, out: Out<f32>) {
    debug_assert!(rows <= MR && (across == 1 || along == 1), "{rows} rows {across} apart, steps {along} apart");
    // SAFETY: the caller's promise; rows from `first` on are there where `there` > 0, and first + 4 ≤ MR.
    unsafe {
        for first in (0..MR).step_by(4) {
            let there = rows.saturating_sub(first).min(4);
            let from = if there > 0 { a.add(first * across) } else { a };
            four_rows(from, there, k, across, along, out.wrapping_add(first));
        }
    }
}

/// Four rows of a panel, of which the first `rows` are there.
///
/// # Safety
/// a holds them as for `panel_a`; out is room for k steps of four numbers, MR apart.
#[inline(always)]
unsafe fn four_rows(a: In<f32>, rows: usize, k: usize, across: usize, along: usize, out: Out<f32>) {
    // SAFETY: p + 4 ≤ k where four steps are moved, p < k where one is; a row that is not there is read as the first.
    unsafe {
        if along == 1 {
            let line = |r: usize| if r < rows { a.add(r * across) } else { a };
            let keep = |r: usize| i32x4_splat(if r < rows { -1 } else { 0 });
            let (lines, masks) = ([0, 1, 2, 3].map(line), [0, 1, 2, 3].map(keep));
            let mut p = 0;
            while p + 4 <= k {
                let v = [0, 1, 2, 3].map(|r| v128_and(load(lines[r].add(p)), masks[r]));
                for (i, column) in transpose4(v[0], v[1], v[2], v[3]).into_iter().enumerate() {
                    store(out.add(MR * (p + i)), column);
                }
                p += 4;
            }
            while p < k {
                for r in 0..4 {
                    out.put(MR * p + r, if r < rows { lines[r].at(p) } else { 0.0 });
                }
                p += 1;
            }
        } else {
            for p in 0..k {
                let x = a.add(p * along);
                store(out.add(MR * p), if rows == 4 { load(x) } else { load_part(x, rows, 0.0) });
            }
        }
    }
}

/// Panels [panel][k][NR] of B's rows k0..k0 + k (of the product's inner axis) and columns n0..n0 + n. With `transposed` B is
/// stored [n, k], else [k, n]; `lead` is the length of its stored rows. `buffer` holds NR · k or n values. Panels begin `step`
/// values apart.
///
/// # Safety
/// The weight has the rows and columns, buffer is room for NR · k or n numbers unless they are f32, and out for all panels of
/// NR · k numbers, `step` apart.
pub unsafe fn panels_b(
    w: &Weight,
    transposed: bool,
    lead: usize,
    k0: usize,
    k: usize,
    n0: usize,
    n: usize,
    buffer: Out<f32>,
    out: Out<f32>,
    step: usize,
) {
    // SAFETY: the caller's promise; columns j..j + columns end at n, and p < k.
    unsafe {
        if transposed {
            for j in (0..n).step_by(NR) {
                let columns = NR.min(n - j);
                let lines: [In<f32>; NR] = core::array::from_fn(|c| {
                    // Columns past the end repeat the last one and are cleared below.
                    let column = n0 + j + c.min(columns - 1);
                    if c < columns { segment(w, column * lead + k0, k, buffer.wrapping_add(c * k)) } else { *buffer }
                });
                interleave(&lines, columns, k, out.add(j / NR * step));
            }
        } else {
            for p in 0..k {
                let row = segment(w, (k0 + p) * lead + n0, n, buffer);
                let mut j = 0;
                while j + NR <= n {
                    let to = out.add(j / NR * step + p * NR);
                    for c in (0..NR).step_by(4) {
                        store(to.add(c), load(row.add(j + c)));
                    }
                    j += NR;
                }
                if j < n {
                    let to = out.add(j / NR * step + p * NR);
                    for c in (0..NR).step_by(4) {
                        let (there, from) = ((n - j).saturating_sub(c), row.wrapping_add(j + c));
                        store(to.add(c), if there >= 4 { load(from) } else { load_part(from, there, 0.0) });
                    }
                }
            }
        }
    }
}

/// out[p][c] = lines[c][p] for p < k; zero for c ≥ columns.
///
/// # Safety
/// The first `columns` lines hold k numbers each, out is room for NR · k.
unsafe fn interleave(lines: &[In<f32>; NR], columns: usize, k: usize, out: Out<f32>) {
    // SAFETY: p + 4 ≤ k where four steps are moved, p < k where one is; lines past `columns` are not read.
    unsafe {
        let mut p = 0;
        while p + 4 <= k {
            for first in (0..NR).step_by(4) {
                let to = out.add(p * NR + first);
                let there = columns.saturating_sub(first);
                if there >= 4 {
                    let v = [0, 1, 2, 3].map(|c| load(lines[first + c].add(p)));
                    for (i, row) in transpose4(v[0], v[1], v[2], v[3]).into_iter().enumerate() {
                        store(to.add(i * NR), row);
                    }
                } else {
                    for i in 0..4 {
                        for c in 0..4 {
                            to.put(i * NR + c, if c < there { lines[first + c].at(p + i) } else { 0.0 });
                        }
                    }
                }
            }
            p += 4;
        }
        while p < k {
            for c in 0..NR {
                out.put(p * NR + c, if c < columns { lines[c].at(p) } else { 0.0 });
            }
            p += 1;
        }
    }
}
