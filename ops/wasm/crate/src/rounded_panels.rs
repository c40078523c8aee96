//! Rounded products of many rows of A: sixteen rows of the weight are unpacked once, their codes side by side by fours, and meet
//! all of A's rows. Sums are those of rounded_rows.rs, block after block. Oracle: ops/reference/rounded.ts.

use crate::rounded_codes::{Codes, Shift};
use crate::rounded_inputs::Rounded;
use crate::rounded_lanes::Lanes;
use crate::simd::to_bytes;
use crate::span::{In, Out};

/// Rows of the weight in a panel.
pub const PANEL: usize = 16;
/// Rows of A whose sums are in the registers at once.
const TILE: usize = 4;

/// An unpacked panel of rows of k codes.
#[derive(Clone, Copy)]
pub struct Panel {
    /// [k / 4][PANEL][4].
    codes: Out<u8>,
    /// [blocks][PANEL] each.
    d: Out<f32>,
    m: Out<f32>,
    /// [groups][PANEL] each; only of types whose groups have scales.
    scales: Out<i32>,
    minima: Out<i32>,
}

/// Numbers of f32 that a panel takes.
pub fn size<C: Codes>(k: usize) -> usize {
    let groups = if C::BLOCK == 32 { 0 } else { k / C::GROUP };
    PANEL * (k / 4 + 2 * (k / C::BLOCK) + 2 * groups)
}

impl Panel {
    /// A panel in a thread's scratch.
    ///
    /// # Safety
    /// There is room for `size` numbers.
    pub unsafe fn new<C: Codes>(room: Out<f32>, k: usize) -> Self {
        let blocks = k / C::BLOCK;
        let groups = if C::BLOCK == 32 { 0 } else { k / C::GROUP };
        // SAFETY: the caller's promise.
        unsafe {
            let words = |at: usize, n: usize| Out::new(room.add(PANEL * at).ptr() as usize, PANEL * n);
            Panel {
                codes: Out::new(room.ptr() as usize, PANEL * k),
                d: room.add(PANEL * (k / 4)),
                m: room.add(PANEL * (k / 4 + blocks)),
                scales: words(k / 4 + 2 * blocks, groups),
                minima: words(k / 4 + 2 * blocks + groups, groups),
            }
        }
    }

    /// Unpacks `rows` ≤ PANEL rows of `blocks` blocks; those that are missing are the last again.
    ///
    /// # Safety
    /// The rows are there, and the panel is as long.
    pub unsafe fn fill<C: Codes>(&self, w: In<u8>, rows: usize, blocks: usize) {
        for row in 0..PANEL {
            for block in 0..blocks {
                // SAFETY: the caller's promise.
                unsafe {
                    let p = w.add((row.min(rows - 1) * blocks + block) * C::BYTES);
                    for i in 0..C::BLOCK / 32 {
                        for (side, codes) in C::codes(p, i).into_iter().enumerate() {
                            let codes = to_bytes(codes);
                            for quad in 0..4 {
                                let at = (block * C::BLOCK + 32 * i + 16 * side) / 4 + quad;
                                let to = self.codes.add((at * PANEL + row) * 4);
                                to.copy(In::of(&codes[4 * quad..4 * quad + 4]), 4);
                            }
                        }
                    }
                    let half = |at: usize| crate::decode::half(p.add(at).cast::<u16>().unaligned());
                    self.d.put(block * PANEL + row, half(C::D));
                    if C::SHIFT != Shift::None {
                        self.m.put(block * PANEL + row, half(C::M));
                    }
                    if C::BLOCK > 32 {
                        let head = C::head(p);
                        let groups = C::BLOCK / C::GROUP;
                        for group in 0..groups {
                            let at = (block * groups + group) * PANEL + row;
                            self.scales.put(at, C::scale(head, p, group));
                            self.minima.put(at, C::minimum(head, group));
                        }
                    }
                }
            }
        }
    }
}

/// out[i · step + j] for all of A's m rows and `columns` ≤ PANEL rows of the weight.
///
/// # Safety
/// The panel holds the rows' `blocks` blocks, `a` has m rows as long, out is room for them, and the CPU has L's instructions.
#[inline(always)]
pub unsafe fn multiply<C: Codes, L: Lanes<N>, const N: usize>(
    panel: &Panel,
    a: &Rounded,
    m: usize,
    blocks: usize,
    columns: usize,
    out: Out<f32>,
    step: usize,
) {
    // SAFETY: the caller's promise; rows of a last tile that are missing are the last again.
    unsafe {
        for first in (0..m).step_by(TILE) {
            for j in (0..columns).step_by(N) {
                tile::<C, L, N>(panel, a, first, TILE.min(m - first), blocks, j, N.min(columns - j), out, step);
            }
        }
    }
}

/// # Safety
/// As for `multiply`: `rows` rows of A from `first` on and `columns` of the panel from j on.
#[inline(always)]
unsafe fn tile<C: Codes, L: Lanes<N>, const N: usize>(
    panel: &Panel,
    a: &Rounded,
    first: usize,
    rows: usize,
    blocks: usize,
    j: usize,
    columns: usize,
    out: Out<f32>,
    step: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut x = [a.row::<C>(first); TILE];
        for (i, x) in x.iter_mut().enumerate() {
            *x = a.row::<C>(first + i.min(rows - 1));
        }
        let mut sum_of = [L::number(0.0); TILE];
        let groups = C::BLOCK / C::GROUP;
        for block in 0..blocks {
            let mut totals = [L::whole(0); TILE];
            let mut shifts = [L::whole(0); TILE];
            for group in 0..groups {
                let at = block * groups + group;
                let mut sums = [L::start(L::whole(0)); TILE];
                let offset = if C::SIGNED { L::BIAS } else { C::OFFSET };
                if offset != 0 {
                    for i in 0..TILE {
                        sums[i] = L::start(L::whole(-offset * x[i].sums.at(at)));
                    }
                }
                for quad in at * C::GROUP / 4..(at + 1) * C::GROUP / 4 {
                    let codes = panel.codes.add((quad * PANEL + j) * 4);
                    if C::SIGNED {
                        let codes = L::quads::<true>(*codes);
                        for i in 0..TILE {
                            sums[i] = L::quad::<true>(sums[i], codes, x[i].numbers.add(4 * quad));
                        }
                    } else {
                        let codes = L::quads::<false>(*codes);
                        for i in 0..TILE {
                            sums[i] = L::quad::<false>(sums[i], codes, x[i].numbers.add(4 * quad));
                        }
                    }
                }
                for i in 0..TILE {
                    let sum = if C::SIGNED { L::end::<true>(sums[i]) } else { L::end::<false>(sums[i]) };
                    if C::BLOCK == 32 {
                        totals[i] = sum;
                    } else {
                        let scale = L::load_whole(*panel.scales.add(at * PANEL + j));
                        totals[i] = L::sum(totals[i], L::product(sum, scale));
                    }
                    if C::SHIFT == Shift::Groups {
                        let minimum = L::load_whole(*panel.minima.add(at * PANEL + j));
                        shifts[i] = L::sum(shifts[i], L::product(minimum, L::whole(x[i].sums.at(at))));
                    }
                }
            }
            let d = L::load(*panel.d.add(block * PANEL + j));
            for i in 0..TILE {
                let x_scale = L::number(x[i].scales.at(block));
                sum_of[i] = L::add(sum_of[i], L::mul(L::mul(d, x_scale), L::converted(totals[i])));
                if C::SHIFT != Shift::None {
                    let m = L::load(*panel.m.add(block * PANEL + j));
                    sum_of[i] = if C::SHIFT == Shift::Block {
                        L::add(sum_of[i], L::mul(m, L::number(x[i].totals.at(block))))
                    } else {
                        L::sub(sum_of[i], L::mul(L::mul(m, x_scale), L::converted(shifts[i])))
                    };
                }
            }
        }
        for i in 0..rows {
            let to = out.add((first + i) * step + j);
            if columns == N {
                L::store(to, sum_of[i]);
            } else {
                let mut whole = [0.0f32; N];
                L::store(Out::of(&mut whole), sum_of[i]);
                to.copy(In::of(&whole), columns);
            }
        }
    }
}
