//! Factorisations by the crate faer, in f64 on the calling thread, and order statistics. Matrices are row-major f32.

use faer::{Mat, MatRef};
use wasm_bindgen::prelude::*;

unsafe fn read(x: u32, m: usize, n: usize) -> Mat<f64> {
    let x = x as *const f32;
    Mat::from_fn(m, n, |i, j| unsafe { *x.add(i * n + j) } as f64)
}

/// out[i, j] = signs[j] · x[i, j], or its transpose.
unsafe fn write(x: MatRef<'_, f64>, signs: &[f64], transposed: bool, out: u32) {
    let out = out as *mut f32;
    let (m, n) = (x.nrows(), signs.len());
    for j in 0..n {
        for i in 0..m {
            let at = if transposed { j * m + i } else { i * n + j };
            unsafe { *out.add(at) = (signs[j] * x[(i, j)]) as f32 };
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

/// Thin SVD of x [m, n]: u [m, k], s [k] falling, vt [k, n]; in each column of u the entry of largest magnitude is
/// positive. Returns 1 when the iteration does not converge, as on NaN.
#[wasm_bindgen]
pub fn svd(x: u32, m: u32, n: u32, u: u32, s: u32, vt: u32) -> u32 {
    let k = m.min(n) as usize;
    unsafe {
        let a = read(x, m as usize, n as usize);
        if !(0..a.ncols()).all(|j| (0..a.nrows()).all(|i| a[(i, j)].is_finite())) {
            return 1;
        }
        let Ok(parts) = a.thin_svd() else { return 1 };
        let signs = leading_signs(parts.U(), k);
        write(parts.U(), &signs, false, u);
        write(parts.V(), &signs, true, vt);
        let values = parts.S().column_vector();
        for j in 0..k {
            *(s as *mut f32).add(j) = values[j] as f32;
        }
    }
    0
}

/// Thin QR of x [m, n]: q [m, k], r [k, n] with a diagonal of no negative entry.
#[wasm_bindgen]
pub fn qr(x: u32, m: u32, n: u32, q: u32, r: u32) {
    let (m, n) = (m as usize, n as usize);
    let k = m.min(n);
    unsafe {
        let parts = read(x, m, n).qr();
        let upper = parts.thin_R();
        let signs: Vec<f64> = (0..k).map(|i| if upper[(i, i)] < 0.0 { -1.0 } else { 1.0 }).collect();
        write(parts.compute_thin_Q().as_ref(), &signs, false, q);
        let r = r as *mut f32;
        for i in 0..k {
            for j in 0..n {
                *r.add(i * n + j) = if j < i { 0.0 } else { (signs[i] * upper[(i, j)]) as f32 };
            }
        }
    }
}

/// The value at place `rank` (from 0) of x [n] in rising order.
#[wasm_bindgen]
pub fn order_statistic(x: u32, n: u32, rank: u32) -> f32 {
    let mut values = unsafe { core::slice::from_raw_parts(x as *const f32, n as usize) }.to_vec();
    *values.select_nth_unstable_by(rank as usize, f32::total_cmp).1
}
