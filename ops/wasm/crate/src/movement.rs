//! Moving numbers without changing them: permute, boxes in and out, rows and elements by index.

use crate::decode::Weight;
use crate::pool;
use crate::simd::*;
use crate::span::{In, Out};
use crate::walk::Spec;

/// Copies runs of bytes by a spec of two operands (source, destination) whose unit is `unit` bytes and whose last axis
/// is contiguous in both.
///
/// # Safety
/// `spec` is a spec of two operands; x and out are as many units as it reaches in each, and they do not overlap.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn copy_runs(spec: usize, unit: usize, x: usize, out: usize) {
    // SAFETY: the caller's promise; a run of n units ends within the reach of both operands.
    unsafe {
        let spec = Spec::<2>::read(spec);
        let (x, out) = (In::<u8>::new(x, spec.reach(0) * unit), Out::new(out, spec.reach(1) * unit));
        pool::pieces(spec.count(), 65_536, 100 * unit, |start, end| {
            spec.runs(start, end, |[i, j], _, n| out.add(j * unit).copy(x.add(i * unit), n * unit))
        });
    }
}

/// Transposes 4-byte elements: for each step of the outer spec (source and destination offsets), out[c, r] = x[r, c] with
/// rows `x_step` apart in x and columns `out_step` apart in out.
///
/// # Safety
/// `spec` is a spec of two operands; from the furthest place that it reaches in x there are (rows − 1) · x_step + columns
/// numbers, and in out room for (columns − 1) · out_step + rows. They do not overlap.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn transpose(
    spec: usize,
    x: usize,
    out: usize,
    rows: usize,
    columns: usize,
    x_step: usize,
    out_step: usize,
) {
    // SAFETY: the caller's promise; a strip's rows from `first` on end at `rows`.
    unsafe {
        let spec = Spec::<2>::read(spec);
        let outer = spec.count();
        if outer * rows * columns == 0 {
            return;
        }
        let x = In::new(x, spec.reach(0) + (rows - 1) * x_step + columns - 1);
        let out = Out::new(out, spec.reach(1) + (columns - 1) * out_step + rows - 1);
        let strips = rows.div_ceil(32);
        let cost = outer * rows * columns;
        pool::run(outer * strips, cost, |task, _| {
            let (item, strip) = (task / strips, task % strips);
            spec.runs(item, item + 1, |[i, j], _, _| {
                let first = strip * 32;
                let (x, out) = (x.add(i + first * x_step), out.add(j + first));
                transpose_block(x, x_step, out, out_step, 32.min(rows - first), columns)
            })
        });
    }
}

/// out[c, r] = x[r, c] for a few rows.
///
/// # Safety
/// x holds (rows − 1) · x_step + columns numbers, out room for (columns − 1) · out_step + rows; they do not overlap.
pub unsafe fn transpose_block(x: In<f32>, x_step: usize, out: Out<f32>, out_step: usize, rows: usize, columns: usize) {
    // SAFETY: r + 4 ≤ rows and c + 4 ≤ columns where sixteen numbers are moved, r < rows and c + k < columns where one is.
    unsafe {
        for c in (0..columns).step_by(4) {
            let width = (columns - c).min(4);
            let mut r = 0;
            while r < rows {
                let (from, to) = (x.add(r * x_step + c), out.add(c * out_step + r));
                if width == 4 && r + 4 <= rows {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|i| load(from.add(i * x_step)));
                    for (k, lane) in transpose4(a, b, c, d).into_iter().enumerate() {
                        store(to.add(k * out_step), lane);
                    }
                    r += 4;
                } else {
                    for k in 0..width {
                        to.put(k * out_step, from.at(k));
                    }
                    r += 1;
                }
            }
        }
    }
}

/// The columns of the 4 × 4 matrix whose rows are given.
#[inline(always)]
pub fn transpose4(a: V, b: V, c: V, d: V) -> [V; 4] {
    let ab_low = i32x4_shuffle::<0, 4, 1, 5>(a, b);
    let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a, b);
    let cd_low = i32x4_shuffle::<0, 4, 1, 5>(c, d);
    let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c, d);
    [
        i64x2_shuffle::<0, 2>(ab_low, cd_low),
        i64x2_shuffle::<1, 3>(ab_low, cd_low),
        i64x2_shuffle::<0, 2>(ab_high, cd_high),
        i64x2_shuffle::<1, 3>(ab_high, cd_high),
    ]
}

/// out[i] = table[ids[i]], rows of `width` elements decoded to f32.
///
/// # Safety
/// table is a weight of `elements` in rows of `last`, ids n of its rows of `width`; out is room for n · width numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn gather_rows(
    dtype: u32,
    table: usize,
    elements: usize,
    last: usize,
    ids: usize,
    n: usize,
    width: usize,
    out: usize,
) {
    // SAFETY: the caller's promise; i < n.
    unsafe {
        let table = Weight::new(dtype, table, elements, last);
        let (ids, out) = (In::<i32>::new(ids, n), Out::new(out, n * width));
        pool::rows(n, width, 1000, |i| {
            let id = ids.at(i) as usize;
            table.decode(id * width, width, out.add(i * width));
        });
    }
}

/// out = 0; out[ids[i]] += x[i] in order of i. Columns are shared out, so the order is that of i for every thread count.
///
/// # Safety
/// x is n · width numbers, ids n of 0..rows; out is room for rows · width numbers, none of them x's.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn scatter_add_rows(x: usize, ids: usize, n: usize, width: usize, rows: usize, out: usize) {
    // SAFETY: the caller's promise; i < n, columns start..end are the task's own and end at `width`.
    unsafe {
        let (x, ids) = (In::new(x, n * width), In::<i32>::new(ids, n));
        let out = Out::new(out, rows * width);
        fill_zero(out, rows * width);
        pool::pieces(width, 64, n * 400, |start, end| {
            for i in 0..n {
                let row = out.add(ids.at(i) as usize * width);
                map2(x.add(i * width), *row, row, start, end, |a, b| add(b, a));
            }
        });
    }
}

/// out = 0.
///
/// # Safety
/// out is room for n numbers.
pub unsafe fn fill_zero(out: Out<f32>, n: usize) {
    // SAFETY: the caller's promise; pieces end at n and no two have numbers in common.
    pool::pieces(n, 65_536, 100, |start, end| unsafe { out.add(start).fill(end - start, 0.0) });
}

/// out[r, j] = x[r, ids[r, j]]: rows of `width` in, `count` out.
///
/// # Safety
/// x is rows · width numbers, ids rows · count of 0..width; out is room for rows · count numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn gather_last(x: usize, ids: usize, rows: usize, width: usize, count: usize, out: usize) {
    // SAFETY: the caller's promise; j < rows · count.
    unsafe {
        let (x, ids) = (In::<u32>::new(x, rows * width), In::<i32>::new(ids, rows * count));
        let out = Out::new(out, rows * count);
        pool::rows(rows, count, 2000, |r| {
            for j in r * count..(r + 1) * count {
                out.put(j, x.at(r * width + ids.at(j) as usize));
            }
        });
    }
}

/// out = 0; out[r, ids[r, j]] += x[r, j].
///
/// # Safety
/// x is rows · count numbers, ids as many of 0..width; out is room for rows · width numbers, none of them x's.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn scatter_add_last(x: usize, ids: usize, rows: usize, width: usize, count: usize, out: usize) {
    // SAFETY: the caller's promise; j < rows · count, and a row of out is the task's own.
    unsafe {
        let (x, ids) = (In::<f32>::new(x, rows * count), In::<i32>::new(ids, rows * count));
        let out = Out::new(out, rows * width);
        fill_zero(out, rows * width);
        pool::rows(rows, count, 2000, |r| {
            for j in r * count..(r + 1) * count {
                let at = r * width + ids.at(j) as usize;
                out.put(at, out.at(at) + x.at(j));
            }
        });
    }
}
