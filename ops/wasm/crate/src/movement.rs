//! Moving numbers without changing them: permute, boxes in and out, rows and elements by index.

use crate::decode::Weight;
use crate::pool;
use crate::simd::*;
use crate::walk::Spec;

/// Copies runs of bytes by a spec of two operands (source, destination) whose unit is `unit` bytes and whose last axis
/// is contiguous in both.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn copy_runs(spec: usize, unit: usize, x: usize, out: usize) {
    unsafe {
        let spec = Spec::<2>::read(spec);
        pool::pieces(spec.count(), 65_536, 100 * unit, |start, end| {
            spec.runs(start, end, |[i, j], _, n| {
                core::ptr::copy_nonoverlapping((x + i * unit) as *const u8, (out + j * unit) as *mut u8, n * unit)
            })
        });
    }
}

/// Transposes 4-byte elements: for each step of the outer spec (source and destination offsets), out[c, r] = x[r, c] with
/// rows `x_step` apart in x and columns `out_step` apart in out.
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
    unsafe {
        let spec = Spec::<2>::read(spec);
        let outer = spec.count();
        let strips = rows.div_ceil(32);
        let cost = outer * rows * columns;
        pool::run(outer * strips, cost, |task, _| {
            let (item, strip) = (task / strips, task % strips);
            spec.runs(item, item + 1, |[i, j], _, _| {
                let x = (x as *const f32).add(i);
                let out = (out as *mut f32).add(j);
                let first = strip * 32;
                let (x, out) = (x.add(first * x_step), out.add(first));
                transpose_block(x, x_step, out, out_step, 32.min(rows - first), columns)
            })
        });
    }
}

/// out[c, r] = x[r, c] for a few rows.
pub unsafe fn transpose_block(
    x: *const f32,
    x_step: usize,
    out: *mut f32,
    out_step: usize,
    rows: usize,
    columns: usize,
) {
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
                        *to.add(k * out_step) = *from.add(k);
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
    unsafe {
        let table = Weight::new(dtype, table, elements, last);
        pool::rows(n, width, 1000, |i| {
            let id = *(ids as *const i32).add(i) as usize;
            table.decode(id * width, width, (out as *mut f32).add(i * width));
        });
    }
}

/// out = 0; out[ids[i]] += x[i] in order of i. Columns are shared out, so the order is that of i for every thread count.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn scatter_add_rows(x: usize, ids: usize, n: usize, width: usize, rows: usize, out: usize) {
    unsafe {
        fill_zero(out, rows * width);
        pool::pieces(width, 64, n * 400, |start, end| {
            for i in 0..n {
                let id = *(ids as *const i32).add(i) as usize;
                let row = (out as *mut f32).add(id * width);
                map2((x as *const f32).add(i * width), row, row, start, end, |a, b| add(b, a));
            }
        });
    }
}

pub fn fill_zero(out: usize, n: usize) {
    pool::pieces(n, 65_536, 100, |start, end| unsafe {
        core::slice::from_raw_parts_mut((out as *mut u32).add(start), end - start).fill(0)
    });
}

/// out[r, j] = x[r, ids[r, j]]: rows of `width` in, `count` out.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn gather_last(x: usize, ids: usize, rows: usize, width: usize, count: usize, out: usize) {
    pool::rows(rows, count, 2000, |r| unsafe {
        for j in r * count..(r + 1) * count {
            *(out as *mut u32).add(j) = *(x as *const u32).add(r * width + *(ids as *const i32).add(j) as usize);
        }
    });
}

/// out = 0; out[r, ids[r, j]] += x[r, j].
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn scatter_add_last(x: usize, ids: usize, rows: usize, width: usize, count: usize, out: usize) {
    fill_zero(out, rows * width);
    pool::rows(rows, count, 2000, |r| unsafe {
        for j in r * count..(r + 1) * count {
            *(out as *mut f32).add(r * width + *(ids as *const i32).add(j) as usize) += *(x as *const f32).add(j);
        }
    });
}
