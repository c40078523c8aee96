//! Products with one to four rows of A, as in generation: B is read once, where it lies, and coded weights that are not for
//! coded_rows.rs are decoded a few hundred elements at a time. Oracle: ops/reference/matmul.ts.

use crate::decode::Weight;
use crate::pack::segment;
use crate::simd::*;
use crate::sixteen::{load16, madd16, sum16, zero16};
use crate::{memory, pool};

pub struct Product {
    pub w: Weight,
    pub a: usize,
    pub out: usize,
    pub offsets: usize,
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub lda: usize,
    pub ldb: usize,
    pub ta: bool,
    pub tb: bool,
}

/// Elements decoded at once; a multiple of every block.
const RUN: usize = 512;
/// Columns that one task sums when B is stored [k, n].
const STRIP: usize = 256;

pub fn matmul(p: &Product) {
    match p.m {
        1 => run::<1>(p),
        2 => run::<2>(p),
        3 => run::<3>(p),
        _ => run::<4>(p),
    }
}

fn run<const M: usize>(p: &Product) {
    // A stored [k, m] is first laid out by rows.
    let rows = if p.ta { memory::shared(4 * p.batch * M * p.k) } else { 0 };
    let item = |i: usize| unsafe {
        if p.offsets == 0 {
            return (0, 0);
        }
        let words = p.offsets as *const usize;
        (*words.add(2 * i), *words.add(2 * i + 1))
    };
    if p.ta {
        for i in 0..p.batch {
            for r in 0..M {
                for q in 0..p.k {
                    unsafe {
                        *(rows as *mut f32).add((i * M + r) * p.k + q) =
                            *(p.a as *const f32).add(item(i).0 + q * p.lda + r);
                    }
                }
            }
        }
    }
    let lines = |i: usize| -> [*const f32; M] {
        core::array::from_fn(|r| unsafe {
            if p.ta {
                (rows as *const f32).add((i * M + r) * p.k)
            } else {
                (p.a as *const f32).add(item(i).0 + r * p.lda)
            }
        })
    };
    let piece = if p.tb { piece_rows(p.n, p.k) } else { STRIP };
    let pieces = p.n.div_ceil(piece);
    pool::run(p.batch * pieces, cost(p.batch * M, p.n, p.k), |task, _| unsafe {
        let (i, first) = (task / pieces, task % pieces * piece);
        let mut w = p.w;
        w.base += 4 * item(i).1;
        let out = (p.out as *mut f32).add(i * M * p.n);
        let count = piece.min(p.n - first);
        if p.tb {
            for j in first..first + count {
                dot::<M>(&w, j * p.ldb, p.k, lines(i), out.add(j), p.n);
            }
        } else {
            columns::<M>(&w, p.ldb, first, count, p.k, lines(i), out.add(first), p.n);
        }
    });
}

/// Rows of [n, k] that one task sums.
pub fn piece_rows(n: usize, k: usize) -> usize {
    (131_072 / k).clamp(1, 256).min(n.div_ceil(4 * (pool::workers() + 1)))
}

pub fn cost(m: usize, n: usize, k: usize) -> usize {
    (m as u64 * n as u64 * k as u64 / 4).min(u32::MAX as u64) as usize
}

/// out[r · step] = Σ_q a[r][q] w[start + q].
#[inline(always)]
pub unsafe fn dot<const M: usize>(w: &Weight, start: usize, k: usize, a: [*const f32; M], out: *mut f32, step: usize) {
    unsafe {
        let mut buffer = core::mem::MaybeUninit::<[f32; RUN]>::uninit();
        let mut sums = [zero16(); M];
        let mut rest = [0.0f32; M];
        let mut q = 0;
        while q < k {
            let n = RUN.min(k - q);
            let row = segment(w, start + q, n, buffer.as_mut_ptr() as *mut f32);
            let mut i = 0;
            while i + 16 <= n {
                let v = load16(row.add(i));
                for r in 0..M {
                    sums[r] = madd16(v, load16(a[r].add(q + i)), sums[r]);
                }
                i += 16;
            }
            while i < n {
                for r in 0..M {
                    rest[r] += *row.add(i) * *a[r].add(q + i);
                }
                i += 1;
            }
            q += n;
        }
        for r in 0..M {
            *out.add(r * step) = sum16(sums[r]) + rest[r];
        }
    }
}

/// out[r · step + j] = Σ_q a[r][q] w[q · lead + first + j] for j < n ≤ STRIP, four rows of w at a time.
unsafe fn columns<const M: usize>(
    w: &Weight,
    lead: usize,
    first: usize,
    n: usize,
    k: usize,
    a: [*const f32; M],
    out: *mut f32,
    step: usize,
) {
    unsafe {
        let mut buffer = core::mem::MaybeUninit::<[[f32; STRIP]; 4]>::uninit();
        let buffer = buffer.as_mut_ptr() as *mut f32;
        for r in 0..M {
            core::slice::from_raw_parts_mut(out.add(r * step), n).fill(0.0);
        }
        let mut q = 0;
        while q < k {
            let count = 4.min(k - q);
            let rows: [*const f32; 4] = core::array::from_fn(|i| {
                // Missing rows repeat the first with factor 0.
                let i = if i < count { i } else { 0 };
                segment(w, (q + i) * lead + first, n, buffer.add(STRIP * i))
            });
            for r in 0..M {
                let f: [f32; 4] = core::array::from_fn(|i| if i < count { *a[r].add(q + i) } else { 0.0 });
                let to = out.add(r * step);
                let mut j = 0;
                while j + 4 <= n {
                    let mut sum = load(to.add(j));
                    for i in 0..count {
                        sum = madd(splat(f[i]), load(rows[i].add(j)), sum);
                    }
                    store(to.add(j), sum);
                    j += 4;
                }
                while j < n {
                    for i in 0..count {
                        *to.add(j) += f[i] * *rows[i].add(j);
                    }
                    j += 1;
                }
            }
            q += count;
        }
    }
}
