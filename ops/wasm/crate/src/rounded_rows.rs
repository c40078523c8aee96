//! Rounded products of few rows of A: blocks of the weight go from memory into the sums, N rows of it at once. Oracle:
//! ops/reference/rounded.ts.

use crate::rounded_codes::{Codes, Shift};
use crate::rounded_inputs::Row;
use crate::rounded_lanes::Lanes;
use crate::span::In;

/// Σ_q a[q] w[r][q] for N rows of the weight of `blocks` blocks, at `rows`.
///
/// # Safety
/// The rows are there, x is as long, and the CPU has L's instructions.
#[inline(always)]
pub unsafe fn dots<C: Codes, L: Lanes<N>, const N: usize>(rows: [In<u8>; N], blocks: usize, x: Row) -> L::F {
    let mut out = L::number(0.0);
    // SAFETY: the caller's promise.
    unsafe {
        for block in 0..blocks {
            let mut p = rows;
            for p in &mut p {
                *p = p.add(block * C::BYTES);
            }
            let numbers = x.numbers.add(block * C::BLOCK);
            let x_scale = L::number(x.scales.at(block));
            let scale = L::mul(L::halves(p, C::D), x_scale);
            let mut parts = [L::nothing(); N];
            if C::BLOCK == 32 {
                for r in 0..N {
                    parts[r] = if C::SIGNED {
                        L::dot::<true>(C::codes(p[r], 0), numbers)
                    } else {
                        L::dot::<false>(C::codes(p[r], 0), numbers)
                    };
                }
                let mut sum = L::totals(parts);
                let offset = if C::SIGNED { L::BIAS } else { C::OFFSET };
                if offset != 0 {
                    sum = L::sum(sum, L::whole(-offset * x.sums.at(block)));
                }
                out = L::add(out, L::mul(scale, L::converted(sum)));
            } else {
                let sums = x.sums.add(block * (C::BLOCK / C::GROUP));
                let (mut offsets, mut shifts) = ([0; N], [0; N]);
                for r in 0..N {
                    let head = C::head(p[r]);
                    for i in 0..8 {
                        let found = L::dot::<false>(C::codes(p[r], i), numbers.add(32 * i));
                        let group = |half: usize| (32 * i + 16 * half) / C::GROUP;
                        let scales = [C::scale(head, p[r], group(0)), C::scale(head, p[r], group(1))];
                        parts[r] = L::scaled(parts[r], found, scales);
                    }
                    if C::OFFSET != 0 {
                        for group in 0..C::BLOCK / C::GROUP {
                            offsets[r] -= C::OFFSET * C::scale(head, p[r], group) * sums.at(group);
                        }
                    }
                    if C::SHIFT == Shift::Groups {
                        for group in 0..C::BLOCK / C::GROUP {
                            shifts[r] += C::minimum(head, group) * sums.at(group);
                        }
                    }
                }
                let sum = L::sum(L::totals(parts), L::wholes(offsets));
                out = L::add(out, L::mul(scale, L::converted(sum)));
                if C::SHIFT == Shift::Groups {
                    let shift = L::mul(L::halves(p, C::M), x_scale);
                    out = L::sub(out, L::mul(shift, L::converted(L::wholes(shifts))));
                }
            }
            if C::SHIFT == Shift::Block {
                out = L::add(out, L::mul(L::halves(p, C::M), L::number(x.totals.at(block))));
            }
        }
    }
    out
}
