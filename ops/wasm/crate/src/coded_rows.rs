//! Products of few rows of A with rows of coded weights: codes go from memory into the sums, and a group's scale is applied
//! once to its sum: Σ (scale · code + shift) a = scale · Σ code · a + shift · Σ a. Where that is not finite, which a code of 0
//! under an infinite a or a great a may cause, elements are decoded first after all. Oracle: ops/reference/matmul.ts.
//!
//! M rows of A meet R rows of the weight at once, so that each load serves several; a group's products go into P sums, so that
//! additions need not wait for each other. How many fit in the registers: sixteen.rs.

use crate::decode::dtype;
use crate::four_bits::FourBits;
use crate::gemv::{Product, cost, dot, piece_rows};
use crate::gguf::with_gguf_layout;
use crate::layout::Layout;
use crate::sixteen::*;
use crate::span::{In, Out};
use crate::{memory, pool};

/// The product, where A's rows are at most four and rows of the weight are whole blocks; else false.
///
/// # Safety
/// The product's operands are as large as it says.
pub unsafe fn matmul(p: &Product) -> bool {
    if p.m > 4 || p.ta || !p.tb || p.batch > 1 || p.ldb != p.k || !p.w.whole_blocks(0, p.k) {
        return false;
    }
    // SAFETY: rows past the last are the last.
    let row = |r: usize| unsafe { p.a.add(r.min(p.m - 1) * p.lda) };
    // SAFETY: the caller's promise; m ≤ 4, and the rows are A's.
    unsafe {
        match p.m {
            1 => coded::<1, ROWS, LOOKUP_ROWS, SUMS>(p, [row(0)]),
            2 => coded::<2, 2, LOOKUP_BATCH, 1>(p, [0, 1].map(row)),
            // Three go as four.
            _ => coded::<4, 2, LOOKUP_BATCH, 1>(p, [0, 1, 2, 3].map(row)),
        }
    }
    true
}

/// By R rows of the weight, or by L where codes are looked up.
///
/// # Safety
/// Each of `a` is a row of k numbers, and the product's weight and out are as large as it says.
unsafe fn coded<const M: usize, const R: usize, const L: usize, const P: usize>(p: &Product, a: [In<f32>; M]) {
    let sums = memory::shared(M * p.k / 16);
    // SAFETY: the caller's promise; a group has at least sixteen elements.
    unsafe {
        if p.w.dtype < dtype::Q4_0 {
            coded_product::<_, M, L, P>(FourBits::new(p.w), p, a, sums)
        } else {
            with_gguf_layout!(p.w.dtype, p.w.base, coded_product::<M, R, P>(p, a, sums))
        }
    }
}

/// out [m, n] = a · wᵀ for coded w [n, k] and m ≤ M; `sums` has room for A's sums by groups.
///
/// # Safety
/// As for `coded`; w has n · k elements, and k is whole blocks.
unsafe fn coded_product<L: Layout, const M: usize, const R: usize, const P: usize>(
    w: L,
    p: &Product,
    a: [In<f32>; M],
    sums: Out<f32>,
) {
    let groups = p.k / L::GROUP;
    // SAFETY: the caller's promise; m < M and row first + r < n of the weight.
    unsafe {
        if L::SHIFTED {
            for m in 0..M {
                group_sums::<L>(a[m], p.k, sums.add(m * groups));
            }
        }
        let piece = piece_rows(p.n, p.k).next_multiple_of(R);
        pool::run(p.n.div_ceil(piece), cost(p.m, p.n, p.k), |task, _| {
            let sums = core::array::from_fn(|m| *sums.add(m * groups));
            for first in (task * piece..p.n.min((task + 1) * piece)).step_by(R) {
                let out = p.out.add(first);
                let rows = R.min(p.n - first);
                dots::<L, M, R, P>(w, first, rows, p.k / L::BLOCK, a, sums, out, p.n, p.m);
                for (m, a) in a.into_iter().enumerate().take(p.m) {
                    for r in 0..rows {
                        let to = out.add(m * p.n + r);
                        if !to.at(0).is_finite() {
                            dot::<1>(&p.w, (first + r) * p.k, p.k, [a], to, 1);
                        }
                    }
                }
            }
        });
    }
}

/// out[r] = Σ a over group r of a row of k elements.
///
/// # Safety
/// a holds k numbers, out room for one of each group.
unsafe fn group_sums<L: Layout>(a: In<f32>, k: usize, out: Out<f32>) {
    for group in 0..k / L::GROUP {
        let mut sum = zero16();
        // SAFETY: the group and its sixteens end at k.
        unsafe {
            for part in 0..L::GROUP / 16 {
                sum = add16(sum, load16(a.add(group * L::GROUP + 16 * part)));
            }
            out.put(group, sum16(sum));
        }
    }
}

/// out[m · step + j] = Σ_q a[m][q] w[first + j][q] for `rows` ≤ R rows of the weight, each `blocks` blocks long, and M rows
/// of A, of which the first `there` are written; `sums[m]` has A's sums by groups where shifts need them.
///
/// # Safety
/// The weight has the rows, each of `a` is as long as one, and out is room for rows of `step` numbers, `rows` in the last.
#[inline(always)]
unsafe fn dots<L: Layout, const M: usize, const R: usize, const P: usize>(
    w: L,
    first: usize,
    rows: usize,
    blocks: usize,
    a: [In<f32>; M],
    sums: [In<f32>; M],
    out: Out<f32>,
    step: usize,
    there: usize,
) {
    debug_assert!((1..=R).contains(&rows) && there <= M, "{rows} rows of {R} by {there} of {M}");
    // SAFETY: the caller's promise; block < blocks and group < GROUPS, with parts for its 16, 32 or 64 elements.
    unsafe {
        // Missing rows repeat the last.
        let start: [usize; R] = core::array::from_fn(|r| (first + r.min(rows - 1)) * blocks);
        let mut total_of = [[zero_sum(); R]; M];
        let mut shifted = [[0.0f32; R]; M];
        for block in 0..blocks {
            let heads = start.map(|start| w.head(start + block));
            for group in 0..L::GROUPS {
                let at = block * L::GROUPS + group;
                let mut sum_of = [[[zero_sum(); P]; R]; M];
                let a = a.map(|a| a.add(at * L::GROUP));
                let start = start.map(|start| start + block);
                add_part::<L, M, R, P>(w, start, group, 0, a, &mut sum_of);
                if L::GROUP > 16 {
                    add_part::<L, M, R, P>(w, start, group, 1, a, &mut sum_of);
                }
                if L::GROUP > 32 {
                    add_part::<L, M, R, P>(w, start, group, 2, a, &mut sum_of);
                    add_part::<L, M, R, P>(w, start, group, 3, a, &mut sum_of);
                }
                for r in 0..R {
                    let (scale, shift) = w.scale(heads[r], start[r], group);
                    for m in 0..M {
                        total_of[m][r] = add_scaled(whole(sum_of[m][r]), scale, total_of[m][r]);
                        if L::SHIFTED {
                            shifted[m][r] += shift * sums[m].at(at);
                        }
                    }
                }
            }
        }
        for m in 0..there {
            for r in 0..rows {
                out.put(m * step + r, total(total_of[m][r]) + shifted[m][r]);
            }
        }
    }
}

/// Adds the products of sixteen codes of each row with A's.
///
/// # Safety
/// The weight has the blocks, their groups the part, and each of `a` sixteen numbers for it.
#[inline(always)]
unsafe fn add_part<L: Layout, const M: usize, const R: usize, const P: usize>(
    w: L,
    blocks: [usize; R],
    group: usize,
    part: usize,
    a: [In<f32>; M],
    sums: &mut [[[Sum; P]; R]; M],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let x = a.map(|a| load16(a.add(16 * part)));
        for r in 0..R {
            let codes = w.codes(blocks[r], group, part);
            for m in 0..M {
                sums[m][r] = dot16(codes, x[m], sums[m][r]);
            }
        }
    }
}

#[inline(always)]
fn whole<const P: usize>(sums: [Sum; P]) -> Sum {
    if P == 1 { sums[0] } else { add_sums(sums[0], sums[P - 1]) }
}
