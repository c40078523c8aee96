//! Thin QR of a tall matrix by Cholesky's factor of its Gram matrix: xᵀx = rᵀr, q = x r⁻¹ (CholeskyQR; Stathopoulos and Wu
//! 2002, SIAM J. Sci. Comput. 23), in f64 from f32 entries. q departs from orthonormal by about 2^-52 times the square of
//! the condition number, so nearly dependent columns are refused, and the caller takes Householder's way.
//! Checked by tests/ops/linalg.test.ts and tests/ops/tall_factors.test.ts.

use crate::simd::*;
use crate::span::{In, Out};
use crate::{memory, pool};

/// Columns of a tile.
const W: usize = 4;
/// The least share of a column's square that must lie outside the span of those before it.
const APART: f64 = 1e-6;

/// q [m, wide] row-major with `wide` ≥ n, columns past n zero; r [wide, wide], upper triangular with a positive diagonal.
pub struct ThinQr<'a> {
    pub q: &'a mut [f64],
    pub r: Vec<f64>,
    pub wide: usize,
    /// As much room as q has, for what follows.
    pub spare: &'a mut [f64],
}

/// Factors the matrix with entry (i, j) at x[i · across + j · along], one of both 1; none when its columns are nearly dependent
/// or not finite. It lives in the scratch that all threads share: fresh memory of this size would cost more than the
/// factorisation.
///
/// # Safety
/// from holds the entries for i < m and j < n, and nobody asks for shared scratch while the factors live.
pub unsafe fn thin_qr<'a>(from: In<f32>, m: usize, n: usize, across: usize, along: usize) -> Option<ThinQr<'a>> {
    let wide = n.next_multiple_of(W);
    let room = memory::shared::<f64>(2 * m * wide);
    // SAFETY: it is as large, and nobody else has it by the caller's promise.
    let (x, q) = unsafe { room.slice_mut(2 * m * wide) }.split_at_mut(m * wide);
    if along == 1 && across == wide {
        // SAFETY: the caller's promise, of m rows of n = wide numbers.
        unsafe { widen(from, x) };
    } else {
        for (i, row) in x.chunks_exact_mut(wide).enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                // SAFETY: i < m, and j < n where it is read.
                *value = if j < n { unsafe { from.at(i * across + j * along) as f64 } } else { 0.0 };
            }
        }
    }
    let r = cholesky(gram(x, m, wide), n, wide)?;
    product(x, &inverse_upper(&r, n, wide), m, wide, q);
    Some(ThinQr { q, r, wide, spare: x })
}

/// to = from, a multiple of four numbers.
///
/// # Safety
/// from holds as many.
unsafe fn widen(from: In<f32>, to: &mut [f64]) {
    debug_assert!(to.len().is_multiple_of(4), "{} numbers", to.len());
    for (i, four) in to.chunks_exact_mut(4).enumerate() {
        // SAFETY: the caller's promise; `four` is four numbers.
        unsafe {
            let x = load(from.add(4 * i));
            let high = i64x2_shuffle::<1, 1>(x, x);
            store4(Out::of(four), [f64x2_promote_low_f32x4(x), f64x2_promote_low_f32x4(high)]);
        }
    }
}

/// to = the first n numbers of each row of x [rows, wide].
///
/// # Safety
/// to is room for them.
pub unsafe fn narrow(x: &[f64], wide: usize, n: usize, to: Out<f32>) {
    // SAFETY: the caller's promise; `four` is four numbers, and j < n.
    unsafe {
        if n == wide {
            for (i, four) in x.chunks_exact(4).enumerate() {
                let [low, high] = load4(In::of(four)).map(|x| f32x4_demote_f64x2_zero(x));
                store(to.add(4 * i), i64x2_shuffle::<0, 2>(low, high));
            }
        } else {
            for (i, row) in x.chunks_exact(wide).enumerate() {
                for (j, value) in row.iter().enumerate().take(n) {
                    to.put(i * n + j, *value as f32);
                }
            }
        }
    }
}

/// Rough nanoseconds of m · wide² multiply-adds, half of them in the Gram matrix.
fn cost(m: usize, wide: usize) -> usize {
    m * wide * wide / 8
}

/// out = x [m, wide] · y [wide, wide]. Four rows and four columns at a time.
pub fn product(x: &[f64], y: &[f64], m: usize, wide: usize, out: &mut [f64]) {
    const ROWS: usize = 128;
    assert!(x.len() >= m * wide && y.len() >= wide * wide && out.len() >= m * wide && wide.is_multiple_of(W));
    let (a, b, to) = (In::of(x), In::of(y), Out::of(out));
    pool::run(m.div_ceil(ROWS), cost(m, wide), |task, _| {
        for p in (task * ROWS..m.min((task + 1) * ROWS)).step_by(4) {
            let rows = 4.min(m - p);
            for j in (0..wide).step_by(W) {
                let mut c = [[f64x2_splat(0.0); 2]; 4];
                for i in 0..wide {
                    // SAFETY: i < wide, j + 4 ≤ wide and p + row < m, within the lengths asserted above.
                    unsafe {
                        let right = load4(b.add(i * wide + j));
                        for (row, c) in c.iter_mut().enumerate().take(rows) {
                            let left = f64x2_splat(a.at((p + row) * wide + i));
                            *c = [madd(left, right[0], c[0]), madd(left, right[1], c[1])];
                        }
                    }
                }
                for (row, c) in c.iter().enumerate().take(rows) {
                    // SAFETY: as above; a task has its rows to itself.
                    unsafe { store4(to.add((p + row) * wide + j), *c) }
                }
            }
        }
    });
}

#[inline(always)]
fn madd(a: v128, b: v128, c: v128) -> v128 {
    f64x2_relaxed_madd(a, b, c)
}

/// # Safety
/// Four numbers are there.
#[inline(always)]
unsafe fn load4(p: In<f64>) -> [v128; 2] {
    p.holds(4);
    // SAFETY: the caller's promise.
    unsafe { [v128_load(p.ptr() as *const v128), v128_load(p.add(2).ptr() as *const v128)] }
}

/// # Safety
/// There is room for four numbers.
#[inline(always)]
unsafe fn store4(p: Out<f64>, [low, high]: [v128; 2]) {
    p.holds(4);
    // SAFETY: the caller's promise.
    unsafe {
        v128_store(p.ptr() as *mut v128, low);
        v128_store(p.add(2).ptr() as *mut v128, high);
    }
}

/// xᵀx [wide, wide], its upper triangle, in tiles of four by four.
fn gram(x: &[f64], m: usize, wide: usize) -> Vec<f64> {
    let mut g = vec![0.0f64; wide * wide];
    let to = Out::of(&mut g);
    let tiles = wide / W;
    pool::run(tiles * tiles, cost(m, wide) / 2, |task, _| {
        let (i, j) = (task / tiles * W, task % tiles * W);
        if j < i {
            return;
        }
        let mut c = [[f64x2_splat(0.0); 2]; 4];
        for row in x.chunks_exact(wide).take(m) {
            let row = In::of(row);
            // SAFETY: i and j are multiples of four below `wide`, which is one.
            unsafe {
                let (left, right) = (load4(row.add(i)), load4(row.add(j)));
                let splats = [
                    i64x2_shuffle::<0, 0>(left[0], left[0]),
                    i64x2_shuffle::<1, 1>(left[0], left[0]),
                    i64x2_shuffle::<0, 0>(left[1], left[1]),
                    i64x2_shuffle::<1, 1>(left[1], left[1]),
                ];
                for (c, a) in c.iter_mut().zip(splats) {
                    *c = [madd(a, right[0], c[0]), madd(a, right[1], c[1])];
                }
            }
        }
        for (row, c) in c.iter().enumerate() {
            // SAFETY: i + row < wide; a task has its tile to itself.
            unsafe { store4(to.add((i + row) * wide + j), *c) }
        }
    });
    g
}

/// r with rᵀr = g, of the first n columns.
fn cholesky(mut g: Vec<f64>, n: usize, wide: usize) -> Option<Vec<f64>> {
    for i in 0..n {
        let whole = g[i * wide + i];
        let left = (0..i).fold(whole, |rest, p| rest - g[p * wide + i] * g[p * wide + i]);
        // Written so that NaN fails; an infinite square does by what is left of it.
        if !(left > APART * whole && left.is_finite() && left > f64::MIN_POSITIVE) {
            return None;
        }
        let pivot = left.sqrt();
        for j in i..n {
            let rest = (0..i).fold(g[i * wide + j], |rest, p| rest - g[p * wide + i] * g[p * wide + j]);
            g[i * wide + j] = if j == i { pivot } else { rest / pivot };
        }
        for j in 0..i {
            g[i * wide + j] = 0.0;
        }
    }
    Some(g)
}

/// r⁻¹ of the upper triangle of the first n columns; zero elsewhere.
fn inverse_upper(r: &[f64], n: usize, wide: usize) -> Vec<f64> {
    let mut y = vec![0.0f64; wide * wide];
    for j in 0..n {
        for i in (0..=j).rev() {
            let sum: f64 = (i + 1..=j).map(|p| r[i * wide + p] * y[p * wide + j]).sum();
            let unit = if i == j { 1.0 } else { 0.0 };
            y[i * wide + j] = (unit - sum) / r[i * wide + i];
        }
    }
    y
}
