//! Factorisations in f64, and order statistics. Matrices are row-major f32. Tall ones of few columns go through `thin_qr`, all
//! others to the crate faer, on the calling thread.

use crate::span::{In, Out};
use crate::thin_qr::{ThinQr, narrow, product, thin_qr};
use faer::{Mat, MatRef};

/// # Safety
/// x holds m · n numbers.
unsafe fn read(x: In<f32>, m: usize, n: usize) -> Mat<f64> {
    // SAFETY: i < m and j < n.
    Mat::from_fn(m, n, |i, j| unsafe { x.at(i * n + j) } as f64)
}

/// out[i, j] = signs[j] · x[i, j], or its transpose.
///
/// # Safety
/// out is room for as many numbers as x has rows for each sign.
unsafe fn write(x: MatRef<'_, f64>, signs: &[f64], transposed: bool, out: Out<f32>) {
    let (m, n) = (x.nrows(), signs.len());
    for j in 0..n {
        for i in 0..m {
            let at = if transposed { j * m + i } else { i * n + j };
            // SAFETY: at < m · n.
            unsafe { out.put(at, (signs[j] * x[(i, j)]) as f32) };
        }
    }
}

/// The sign of each column's entry of largest magnitude, the first of equals; +1 for a column of zeros.
fn leading_signs(x: MatRef<'_, f64>, columns: usize) -> Vec<f64> {
    (0..columns)
        .map(|j| {
            let mut largest = 0.0f64;
            for i in 0..x.nrows() {
                if x[(i, j)].abs() > largest.abs() {
                    largest = x[(i, j)];
                }
            }
            if largest < 0.0 { -1.0 } else { 1.0 }
        })
        .collect()
}

/// Whether a matrix of `long` rows and `short` columns is one for `thin_qr`.
fn tall(long: usize, short: usize) -> bool {
    (1..=64).contains(&short) && long >= 4 * short
}

/// Thin SVD of x [m, n] with few rows, through xᵀ = q r: with rᵀ = u s wᵀ, x = u s (q w)ᵀ. Whether it could be done.
///
/// # Safety
/// x holds m · n numbers; u is room for m · m, s for m and vt for m · n, where m ≤ n.
unsafe fn svd_of_wide(x: In<f32>, m: usize, n: usize, u: Out<f32>, s: Out<f32>, vt: Out<f32>) -> bool {
    // SAFETY: the caller's promise; i < n and j < m where numbers are written.
    unsafe {
        let Some(ThinQr { q, r, wide, spare }) = thin_qr(x, n, m, 1, n) else { return false };
        let Ok(parts) = Mat::from_fn(m, m, |i, j| r[j * wide + i]).thin_svd() else { return false };
        let signs = leading_signs(parts.U(), m);
        write(parts.U(), &signs, false, u);
        let mut w = vec![0.0f64; wide * wide];
        for i in 0..m {
            for j in 0..m {
                w[i * wide + j] = signs[j] * parts.V()[(i, j)];
            }
        }
        product(q, &w, n, wide, spare);
        for (i, row) in spare.chunks_exact(wide).enumerate() {
            for (j, value) in row.iter().enumerate().take(m) {
                vt.put(j * n + i, *value as f32);
            }
        }
        let values = parts.S().column_vector();
        for j in 0..m {
            s.put(j, values[j] as f32);
        }
        true
    }
}

/// Thin SVD of x [m, n]: u [m, k], s [k] falling, vt [k, n]; in each column of u the entry of largest magnitude is
/// positive. Returns 1 when the iteration does not converge, as on NaN.
///
/// # Safety
/// x is m · n numbers; u, s and vt are room for theirs, none of them x's.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn svd(x: usize, m: usize, n: usize, u: usize, s: usize, vt: usize) -> u32 {
    let k = m.min(n);
    // SAFETY: the caller's promise; j < k.
    unsafe {
        let (x, u, s, vt) = (In::new(x, m * n), Out::new(u, m * k), Out::new(s, k), Out::new(vt, k * n));
        if tall(n, m) && svd_of_wide(x, m, n, u, s, vt) {
            return 0;
        }
        let a = read(x, m, n);
        if !(0..a.ncols()).all(|j| (0..a.nrows()).all(|i| a[(i, j)].is_finite())) {
            return 1;
        }
        let Ok(parts) = a.thin_svd() else { return 1 };
        let signs = leading_signs(parts.U(), k);
        write(parts.U(), &signs, false, u);
        write(parts.V(), &signs, true, vt);
        let values = parts.S().column_vector();
        for j in 0..k {
            s.put(j, values[j] as f32);
        }
    }
    0
}

/// Thin QR of x [m, n]: q [m, k], r [k, n] with a diagonal of no negative entry.
///
/// # Safety
/// x is m · n numbers; q and r are room for theirs, none of them x's.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn qr(x: usize, m: usize, n: usize, q: usize, r: usize) {
    let k = m.min(n);
    // SAFETY: the caller's promise; i < k and j < n.
    unsafe {
        let (x, q, r) = (In::new(x, m * n), Out::new(q, m * k), Out::new(r, k * n));
        if let Some(parts) = if tall(m, n) { thin_qr(x, m, n, n, 1) } else { None } {
            narrow(parts.q, parts.wide, n, q);
            narrow(&parts.r[..n * parts.wide], parts.wide, n, r);
            return;
        }
        let parts = read(x, m, n).qr();
        let upper = parts.thin_R();
        let signs: Vec<f64> = (0..k).map(|i| if upper[(i, i)] < 0.0 { -1.0 } else { 1.0 }).collect();
        write(parts.compute_thin_Q().as_ref(), &signs, false, q);
        for i in 0..k {
            for j in 0..n {
                r.put(i * n + j, if j < i { 0.0 } else { (signs[i] * upper[(i, j)]) as f32 });
            }
        }
    }
}

/// The value at place `rank` (from 0) of x [n] in rising order.
///
/// # Safety
/// x is n numbers, and rank < n.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn order_statistic(x: usize, n: usize, rank: usize) -> f32 {
    // SAFETY: the caller's promise.
    let mut values = unsafe { In::<f32>::new(x, n).slice(n) }.to_vec();
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}
