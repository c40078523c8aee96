//! Products with one to four rows of A, as in generation: B is read once, where it lies, and coded weights that are not for
//! coded_rows.rs are decoded a few hundred elements at a time. Oracle: ops/reference/matmul.ts.

use crate::decode::Weight;
use crate::pack::segment;
use crate::simd::*;
use crate::sixteen::{load16, madd16, sum16, zero16};
use crate::span::{In, Out};
use crate::{memory, pool};

/// A product out [batch, m, n] = a · w. What holds of it: a and w have rows of `lda` and `ldb` values, of `ta` and `tb` as stored,
/// as many as m, n and k ask for, from every item's offset on; out is room for batch · m · n numbers.
pub struct Product {
    pub w: Weight,
    pub a: In<f32>,
    pub out: Out<f32>,
    pub offsets: Offsets,
    pub batch: usize,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub lda: usize,
    pub ldb: usize,
    pub ta: bool,
    pub tb: bool,
}

/// For each item of a batch the elements before it in a and in b; none where there is one item.
#[derive(Clone, Copy)]
pub struct Offsets(Option<In<usize>>);

impl Offsets {
    /// Reads them where they lie; at 0 there are none.
    ///
    /// # Safety
    /// At any other address there are two words for each item.
    pub unsafe fn new(address: usize, batch: usize) -> Self {
        // SAFETY: the caller's promise.
        Offsets((address != 0).then(|| unsafe { In::new(address, 2 * batch) }))
    }

    /// Whether all there is is one item.
    pub fn none(&self) -> bool {
        self.0.is_none()
    }

    /// Elements before batch item i in a and in b.
    ///
    /// # Safety
    /// The batch has the item.
    #[inline(always)]
    pub unsafe fn of(&self, i: usize) -> (usize, usize) {
        // SAFETY: the caller's promise.
        self.0.map_or((0, 0), |words| unsafe { (words.at(2 * i), words.at(2 * i + 1)) })
    }
}

impl Weight {
    /// What follows the next `n` numbers; of another type n is 0.
    ///
    /// # Safety
    /// The weight has as many.
    #[inline(always)]
    pub unsafe fn after(mut self, n: usize) -> Self {
        // SAFETY: the caller's promise.
        self.base = unsafe { self.base.cast::<f32>().add(n) }.cast();
        self
    }
}

/// Elements decoded at once; a multiple of every block.
const RUN: usize = 512;
/// Columns that one task sums when B is stored [k, n].
const STRIP: usize = 256;

/// The product of one to four rows.
///
/// # Safety
/// The product's operands are as large as it says.
pub unsafe fn matmul(p: &Product) {
    debug_assert!((1..=4).contains(&p.m), "{} rows", p.m);
    // SAFETY: the caller's promise.
    unsafe {
        match p.m {
            1 => run::<1>(p),
            2 => run::<2>(p),
            3 => run::<3>(p),
            _ => run::<4>(p),
        }
    }
}

/// # Safety
/// As for `matmul`; the product has M rows.
unsafe fn run<const M: usize>(p: &Product) {
    // A stored [k, m] is first laid out by rows.
    let rows = if p.ta { memory::shared(p.batch * M * p.k) } else { Out::of(&mut []) };
    // SAFETY: the caller's promise: item i < batch, row r < M, and columns first..first + count of n.
    unsafe {
        if p.ta {
            for i in 0..p.batch {
                let from = p.a.add(p.offsets.of(i).0);
                for r in 0..M {
                    for q in 0..p.k {
                        rows.put((i * M + r) * p.k + q, from.at(q * p.lda + r));
                    }
                }
            }
        }
        let lines = |i: usize| -> [In<f32>; M] {
            core::array::from_fn(|r| {
                if p.ta { *rows.add((i * M + r) * p.k) } else { p.a.add(p.offsets.of(i).0 + r * p.lda) }
            })
        };
        let piece = if p.tb { piece_rows(p.n, p.k) } else { STRIP };
        let pieces = p.n.div_ceil(piece);
        pool::run(p.batch * pieces, cost(p.batch * M, p.n, p.k), |task, _| {
            let (i, first) = (task / pieces, task % pieces * piece);
            let w = p.w.after(p.offsets.of(i).1);
            let out = p.out.add(i * M * p.n);
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
}

/// Rows of [n, k] that one task sums.
pub fn piece_rows(n: usize, k: usize) -> usize {
    (131_072 / k).clamp(1, 256).min(n.div_ceil(4 * (pool::workers() + 1)))
}

pub fn cost(m: usize, n: usize, k: usize) -> usize {
    (m as u64 * n as u64 * k as u64 / 4).min(u32::MAX as u64) as usize
}

/// out[r · step] = Σ_q a[r][q] w[start + q].
///
/// # Safety
/// The weight has k elements from `start` on, each of `a` k numbers, and out is room for M numbers, `step` apart.
#[inline(always)]
pub unsafe fn dot<const M: usize>(w: &Weight, start: usize, k: usize, a: [In<f32>; M], out: Out<f32>, step: usize) {
    let mut buffer = core::mem::MaybeUninit::<[f32; RUN]>::uninit();
    let buffer = Out::room(&mut buffer);
    let mut sums = [zero16(); M];
    let mut rest = [0.0f32; M];
    let mut q = 0;
    while q < k {
        let n = RUN.min(k - q);
        // SAFETY: n numbers from q on end at k; i + 16 ≤ n where sixteen are read, i < n where one is.
        unsafe {
            let row = segment(w, start + q, n, buffer);
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
                    rest[r] += row.at(i) * a[r].at(q + i);
                }
                i += 1;
            }
        }
        q += n;
    }
    for r in 0..M {
        // SAFETY: r < M.
        unsafe { out.put(r * step, sum16(sums[r]) + rest[r]) };
    }
}

/// out[r · step + j] = Σ_q a[r][q] w[q · lead + first + j] for j < n ≤ STRIP, four rows of w at a time.
///
/// # Safety
/// The weight has k rows of `lead` elements with n from `first` on, each of `a` k numbers, and out is room for M rows of n
/// numbers, `step` apart.
unsafe fn columns<const M: usize>(
    w: &Weight,
    lead: usize,
    first: usize,
    n: usize,
    k: usize,
    a: [In<f32>; M],
    out: Out<f32>,
    step: usize,
) {
    debug_assert!(n <= STRIP, "{n} columns of a strip");
    let mut buffer = core::mem::MaybeUninit::<[f32; 4 * STRIP]>::uninit();
    let buffer = Out::room(&mut buffer);
    // SAFETY: rows q..q + count end at k; j + 4 ≤ n where four columns are summed, j < n where one is.
    unsafe {
        for r in 0..M {
            out.add(r * step).fill(n, 0.0);
        }
        let mut q = 0;
        while q < k {
            let count = 4.min(k - q);
            let rows: [In<f32>; 4] = core::array::from_fn(|i| {
                // Missing rows repeat the first with factor 0.
                let i = if i < count { i } else { 0 };
                segment(w, (q + i) * lead + first, n, buffer.add(STRIP * i))
            });
            for r in 0..M {
                let f: [f32; 4] = core::array::from_fn(|i| if i < count { a[r].at(q + i) } else { 0.0 });
                let to = out.add(r * step);
                let mut j = 0;
                while j + 4 <= n {
                    let mut sum = load(*to.add(j));
                    for i in 0..count {
                        sum = madd(splat(f[i]), load(rows[i].add(j)), sum);
                    }
                    store(to.add(j), sum);
                    j += 4;
                }
                while j < n {
                    for i in 0..count {
                        to.put(j, to.at(j) + f[i] * rows[i].at(j));
                    }
                    j += 1;
                }
            }
            q += count;
        }
    }
}
