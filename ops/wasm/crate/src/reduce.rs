//! Folding an axis: sums, extremes, argmax, softmax, cross-entropy. Sums of more than 256 terms go on in f64.

use crate::simd::*;
use crate::{math, memory, pool};

/// Terms that one task sums; a longer row is cut there, whatever the number of threads.
const CUT: usize = 65_536;

unsafe fn sum_run(x: *const f32, n: usize) -> f64 {
    unsafe { sum(n, |i| load(x.add(i)), |i| *x.add(i)) }
}

unsafe fn min_run(x: *const f32, n: usize) -> f32 {
    let most = f32::INFINITY;
    unsafe { extreme(n, most, |i| load(x.add(i)), |i| load_part(x.add(i), n - i, most), |a, b| f32x4_pmin(a, b)) }
}

/// The largest value, NaN left out.
unsafe fn max_number(x: *const f32, n: usize) -> f32 {
    unsafe {
        let clean = |v: V| pick(splat(f32::NEG_INFINITY), v, f32x4_ne(v, v));
        extreme(
            n,
            f32::NEG_INFINITY,
            |i| clean(load(x.add(i))),
            |i| clean(load_part(x.add(i), n - i, f32::NEG_INFINITY)),
            |a, b| f32x4_pmax(a, b),
        )
    }
}

/// x seen as [outer, n, inner] → out [outer, inner]; op 0 sum, 1 max, 2 min.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn reduce(op: u32, x: usize, outer: usize, n: usize, inner: usize, out: usize) {
    if inner != 1 {
        unsafe { reduce_inner(op, x, outer, n, inner, out) };
    } else if op != 0 || n <= CUT {
        pool::rows(outer, n, 400, |o| unsafe {
            let row = (x as *const f32).add(o * n);
            *(out as *mut f32).add(o) = match op {
                0 => sum_run(row, n) as f32,
                1 => max_run(row, n),
                _ => min_run(row, n),
            };
        });
    } else {
        let parts = n.div_ceil(CUT);
        let sums = memory::shared(8 * parts);
        for o in 0..outer {
            pool::run(parts, n / 4, |part, _| unsafe {
                let (start, end) = (part * CUT, n.min((part + 1) * CUT));
                *(sums as *mut f64).add(part) = sum_run((x as *const f32).add(o * n + start), end - start);
            });
            unsafe {
                let sums = core::slice::from_raw_parts(sums as *const f64, parts);
                *(out as *mut f32).add(o) = sums.iter().sum::<f64>() as f32;
            }
        }
    }
}

/// Columns that one task folds.
const STRIP: usize = 64;

unsafe fn reduce_inner(op: u32, x: usize, outer: usize, n: usize, inner: usize, out: usize) {
    let strips = inner.div_ceil(STRIP);
    pool::run(outer * strips, outer * n * inner / 3, |task, _| unsafe {
        let (o, start) = (task / strips, task % strips * STRIP);
        let width = STRIP.min(inner - start);
        let x = (x as *const f32).add(o * n * inner + start);
        let out = (out as *mut f32).add(o * inner + start);
        let first = [0.0, f32::NEG_INFINITY, f32::INFINITY][op as usize];
        let mut total = [0.0f64; STRIP];
        let mut part = [first; STRIP];
        let to = part.as_mut_ptr();
        for j in 0..n {
            let row = x.add(j * inner);
            match op {
                0 => map2(to, row, to, 0, width, add),
                1 => map2(to, row, to, 0, width, |a, b| f32x4_max(a, b)),
                _ => map2(to, row, to, 0, width, |a, b| f32x4_min(a, b)),
            }
            if op == 0 && (j % 128 == 127 || j + 1 == n) {
                for (t, p) in total.iter_mut().zip(&mut part) {
                    *t += *p as f64;
                    *p = 0.0;
                }
            }
        }
        for i in 0..width {
            *out.add(i) = if op == 0 { total[i] as f32 } else { part[i] };
        }
    });
}

/// out[r] = index of the first largest of a row; NaN is never larger.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn argmax(x: usize, rows: usize, width: usize, out: usize) {
    pool::rows(rows, width, 500, |r| unsafe {
        let row = (x as *const f32).add(r * width);
        let mut best = 0;
        if !(*row).is_nan() {
            let most = max_number(row, width);
            while best < width && *row.add(best) != most {
                best += 1;
            }
        }
        *(out as *mut i32).add(r) = best as i32;
    });
}

/// out = e^(x − most) and its sum.
unsafe fn exp_run(x: *const f32, n: usize, most: f32, out: *mut f32) -> f64 {
    unsafe {
        map1(x, out, 0, n, |v| math::exp_negative(sub(v, splat(most))));
        sum_run(out, n)
    }
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn softmax(x: usize, rows: usize, width: usize, out: usize) {
    pool::rows(rows, width, 3000, |r| unsafe {
        let row = (x as *const f32).add(r * width);
        let out = (out as *mut f32).add(r * width);
        let most = max_run(row, width);
        if most == f32::NEG_INFINITY {
            map1(out, out, 0, width, |_| splat(0.0));
        } else {
            let scale = splat((1.0 / exp_run(row, width, most, out)) as f32);
            map1(out, out, 0, width, |v| mul(v, scale));
        }
    });
}

/// dx = y ⊙ (g − Σ g ⊙ y).
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn softmax_grad(y: usize, g: usize, rows: usize, width: usize, out: usize) {
    pool::rows(rows, width, 1000, |r| unsafe {
        let y = (y as *const f32).add(r * width);
        let g = (g as *const f32).add(r * width);
        let dot = splat(sum(width, |i| mul(load(y.add(i)), load(g.add(i))), |i| *y.add(i) * *g.add(i)) as f32);
        map2(y, g, (out as *mut f32).add(r * width), 0, width, |y, g| mul(y, sub(g, dot)));
    });
}

const IGNORED: i32 = -100;

/// loss = lse − (1 − s) · logit[label] − s · mean(logits) per row.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn cross_entropy(
    logits: usize,
    labels: usize,
    rows: usize,
    width: usize,
    smoothing: f32,
    loss: usize,
    lse: usize,
) {
    pool::rows(rows, width, 2500, |r| unsafe {
        let row = (logits as *const f32).add(r * width);
        let most = max_run(row, width);
        let e = |v: V| math::exp_negative(sub(v, splat(most)));
        let total = if most == f32::NEG_INFINITY {
            f64::NEG_INFINITY
        } else {
            let terms = sum(width, |i| e(load(row.add(i))), |i| f32x4_extract_lane::<0>(e(splat(*row.add(i)))));
            most as f64 + terms.ln()
        };
        *(lse as *mut f32).add(r) = total as f32;
        let label = *(labels as *const i32).add(r);
        *(loss as *mut f32).add(r) = if label == IGNORED {
            0.0
        } else {
            let s = smoothing as f64;
            let value = total - (1.0 - s) * *row.add(label as usize) as f64;
            // Without smoothing the mean must not enter: 0 times a logit of −∞ is NaN.
            (if s == 0.0 { value } else { value - s * sum_run(row, width) / width as f64 }) as f32
        };
    });
}

/// dlogits = g[row] · (softmax − (1 − s) · onehot − s/v); `out` may be the logits.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn cross_entropy_grad(
    logits: usize,
    labels: usize,
    rows: usize,
    width: usize,
    smoothing: f32,
    lse: usize,
    g: usize,
    out: usize,
) {
    pool::rows(rows, width, 2500, |r| unsafe {
        let out = (out as *mut f32).add(r * width);
        let label = *(labels as *const i32).add(r);
        if label == IGNORED {
            map1(out, out, 0, width, |_| splat(0.0));
            return;
        }
        let row = (logits as *const f32).add(r * width);
        let total = splat(*(lse as *const f32).add(r));
        let upstream = *(g as *const f32).add(r);
        let (scale, even) = (splat(upstream), splat(smoothing / width as f32));
        // The label's own term apart, so that softmax − 1 loses nothing; read first, since out may be the logits.
        let p = f32x4_extract_lane::<0>(math::exp(sub(splat(*row.add(label as usize)), total)));
        map1(row, out, 0, width, |v| mul(scale, sub(math::exp_negative(sub(v, total)), even)));
        *out.add(label as usize) = upstream * (p - (1.0 - smoothing) - smoothing / width as f32);
    });
}

/// Position of the first of n indices that is neither in 0..limit nor `allowed`; n when there is none.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn first_outside(ids: usize, n: usize, limit: u32, allowed: i32) -> usize {
    unsafe {
        let ids = core::slice::from_raw_parts(ids as *const i32, n);
        let outside = |id: &i32| (*id as u32) >= limit && *id != allowed;
        ids.iter().position(outside).unwrap_or(n)
    }
}
