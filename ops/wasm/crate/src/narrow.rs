//! out = a · b where out has at most 32 columns, or rows. The narrow operand is packed; the wide one, x, is read where it lies,
//! each line of it once, because packing it would cost as much as the product. A task makes a block of out, `BLOCK` of the
//! long side by all of the narrow one, whose sums stay in the first-level cache between blocks of k. Every element sums
//! over k in order, so results do not depend on the number of threads. Oracle: ops/reference/matmul.ts.

use crate::ahead::Ahead;
use crate::decode::{Weight, dtype};
use crate::gemv::Product;
use crate::movement::transpose_block;
use crate::narrow_tile::{self, STEPS, columns, rows};
use crate::pack::{panel_a, panels_b};
use crate::sixteen::{load16, store16};
use crate::span::{In, Out};
use crate::tile::{MR, NR};
use crate::{memory, pool};

/// The longest side that is narrow.
const NARROW: usize = 32;
/// Of out's long side in a task.
const BLOCK: usize = 64;
/// Steps of k of a block where x's rows lie across k: x comes a piece of a row at a time.
const SHORT: usize = 64;
/// Steps of k that a task packs.
const SHARE: usize = 512;

/// out [long, narrow] = x · s, or its transpose: x stored [long, k] (`along`) or [k, long].
struct Narrow {
    x: In<f32>,
    lead: usize,
    along: bool,
    long: usize,
    narrow: usize,
    k: usize,
    /// Packed s: panels of NR columns where x's rows lie along k, else of MR; values from a panel to the next.
    s: In<f32>,
    step: usize,
    out: Out<f32>,
    /// Whether out is stored [narrow, long].
    transposed: bool,
}

/// Computes the product if it is one for these kernels, and tells whether it was.
///
/// # Safety
/// The product's operands are as large as it says.
pub unsafe fn matmul(p: &Product) -> bool {
    let of_columns = p.n <= NARROW && p.n <= p.m;
    if !(of_columns || p.m <= NARROW) || !p.offsets.none() || p.w.dtype != dtype::F32 {
        return false;
    }
    let w: In<f32> = p.w.base.cast();
    // SAFETY: the caller's promise; a task packs steps k0..k0 + k of s, which end at k, and makes a block of out's long side.
    unsafe {
        let (x, lead, along, long, narrow) =
            if of_columns { (p.a, p.lda, !p.ta, p.m, p.n) } else { (w, p.ldb, p.tb, p.n, p.m) };
        if along && !narrow_tile::rows_pay(of_columns, long * p.k, narrow) {
            return false;
        }
        // s [k, narrow], or stored [narrow, k].
        let (s, s_lead, s_along) = if of_columns { (w, p.ldb, p.tb) } else { (p.a, p.lda, !p.ta) };
        let width = if along { NR } else { MR };
        let step = width * p.k;
        let panels = narrow.div_ceil(width);
        let packed = memory::shared(step * panels);
        let scratch = memory::private(2 * BLOCK * BLOCK);
        pool::run(p.k.div_ceil(SHARE), narrow * p.k / 2, |task, thread| {
            let (k0, to) = (task * SHARE, packed.add(task * SHARE * width));
            let k = SHARE.min(p.k - k0);
            if along {
                let w = Weight::plain(s);
                panels_b(&w, s_along, s_lead, k0, k, 0, narrow, scratch.of(thread), to, step);
            } else {
                let (across, along) = if s_along { (s_lead, 1) } else { (1, s_lead) };
                for r in (0..narrow).step_by(MR) {
                    let from = s.add(r * across + k0 * along);
                    panel_a(from, MR.min(narrow - r), k, across, along, to.add(r / MR * step));
                }
            }
        });
        let product =
            Narrow { x, lead, along, long, narrow, k: p.k, s: *packed, step, out: p.out, transposed: !of_columns };
        let cost = (long as u64 * narrow as u64 * p.k as u64 / 24).min(u32::MAX as u64) as usize;
        pool::run(long.div_ceil(BLOCK), cost, |task, thread| {
            let scratch = scratch.of(thread);
            if along { product.rows(task * BLOCK, scratch) } else { product.columns(task * BLOCK, scratch) }
        });
    }
    true
}

impl Narrow {
    /// Rows first.. of x, whose rows lie along k: sums [rows, NARROW].
    ///
    /// # Safety
    /// first < `long`; sums is room for BLOCK rows.
    unsafe fn rows(&self, first: usize, sums: Out<f32>) {
        // SAFETY: rows first..first + count end at `long`, steps k0..k0 + k at k; a block is a multiple of MR rows.
        unsafe {
            let count = BLOCK.min(self.long - first);
            for k0 in (0..self.k).step_by(STEPS) {
                let k = STEPS.min(self.k - k0);
                for r in (0..count).step_by(MR) {
                    // Missing rows repeat the last one.
                    let lines = core::array::from_fn(|i| self.x.add((first + (r + i).min(count - 1)) * self.lead + k0));
                    for j in (0..self.narrow).step_by(NR) {
                        let s = self.s.add(j / NR * self.step + k0 * NR);
                        rows(k, &lines, s, self.narrow - j, sums.add(r * NARROW + j), NARROW, k0 == 0);
                    }
                }
            }
            self.write(*sums, NARROW, count, self.narrow, first);
        }
    }

    /// Columns first.. of x, whose rows lie across k: sums [narrow, BLOCK].
    ///
    /// # Safety
    /// first < `long`; sums is room for NARROW rows of BLOCK numbers, and as many for pieces of x.
    unsafe fn columns(&self, first: usize, sums: Out<f32>) {
        // SAFETY: columns first..first + count end at `long`, steps k0..k0 + k at k; a piece of fewer columns is copied.
        unsafe {
            let count = BLOCK.min(self.long - first);
            let buffer = sums.add(NARROW.next_multiple_of(MR) * BLOCK);
            for k0 in (0..self.k).step_by(SHORT) {
                let k = SHORT.min(self.k - k0);
                let mut at = self.x.add(k0 * self.lead + first);
                let mut lead = self.lead;
                let mut ahead = Ahead::nothing();
                if count < BLOCK || narrow_tile::copies(lead) {
                    for p in 0..k {
                        copy(at.add(p * lead), count, buffer.add(p * BLOCK));
                    }
                    (at, lead) = (*buffer, BLOCK);
                } else if self.k - k0 > k {
                    let next = SHORT.min(self.k - k0 - k);
                    ahead = Ahead::new(at.add(k * lead), lead, BLOCK, next, SHORT / 2);
                }
                let s = self.s.add(k0 * MR);
                columns(k, s, self.step, self.narrow.div_ceil(MR), at, lead, BLOCK, sums, k0 == 0, &mut ahead);
            }
            self.write(*sums, BLOCK, self.narrow, count, first);
        }
    }

    /// Sums [rows, columns], `lead` values apart, to where they belong in out.
    ///
    /// # Safety
    /// sums holds the rows, and out has place for them from `first` of its long side on.
    unsafe fn write(&self, sums: In<f32>, lead: usize, rows: usize, columns: usize, first: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let out_lead = if self.transposed { self.long } else { self.narrow };
            let to = self.out.add(if self.transposed { first } else { first * self.narrow });
            if self.along == self.transposed {
                return transpose_block(sums, lead, to, out_lead, rows, columns);
            }
            for r in 0..rows {
                to.add(r * out_lead).copy(sums.add(r * lead), columns);
            }
        }
    }
}

/// The first `count` of a row's `BLOCK` numbers, and zeros. By sixteens where all are there: WebAssembly's instruction that
/// copies takes longer.
///
/// # Safety
/// from holds `count` ≤ BLOCK numbers, to room for BLOCK.
unsafe fn copy(from: In<f32>, count: usize, to: Out<f32>) {
    debug_assert!(count <= BLOCK, "{count} numbers of {BLOCK}");
    // SAFETY: the caller's promise; BLOCK is a multiple of 16.
    unsafe {
        if count == BLOCK {
            for i in (0..BLOCK).step_by(16) {
                store16(to.add(i), load16(from.add(i)));
            }
        } else {
            to.copy(from, count);
            to.add(count).fill(BLOCK - count, 0.0);
        }
    }
}
