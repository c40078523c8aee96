//! Folding an axis: sums, extremes, argmax, softmax, cross-entropy. Sums of more than 256 terms go on in f64.

use crate::simd::*;
use crate::span::{In, Out};
use crate::{math, memory, pool};

/// Terms that one task sums; a longer row is cut there, whatever the number of threads.
const CUT: usize = 65_536;

/// # Safety
/// x holds n numbers.
unsafe fn sum_run(x: In<f32>, n: usize) -> f64 {
    // SAFETY: `sum` asks for four numbers or one, none past n.
    unsafe { sum(n, |i| load(x.add(i)), |i| x.at(i)) }
}

/// # Safety
/// x holds n numbers.
unsafe fn min_run(x: In<f32>, n: usize) -> f32 {
    let most = f32::INFINITY;
    // SAFETY: `extreme` asks for four numbers or the rest, none past n.
    unsafe { extreme(n, most, |i| load(x.add(i)), |i| load_part(x.add(i), n - i, most), |a, b| f32x4_pmin(a, b)) }
}

/// The largest value, NaN left out.
///
/// # Safety
/// x holds n numbers.
unsafe fn max_number(x: In<f32>, n: usize) -> f32 {
    let clean = |v: V| pick(splat(f32::NEG_INFINITY), v, f32x4_ne(v, v));
    // SAFETY: `extreme` asks for four numbers or the rest, none past n.
    unsafe {
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
///
/// # Safety
/// x is outer · n · inner numbers, out room for outer · inner.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn reduce(op: u32, x: usize, outer: usize, n: usize, inner: usize, out: usize) {
    // SAFETY: the caller's promise; row o < outer begins at o · n, and a part of one ends at n.
    unsafe {
        let (x, out) = (In::new(x, outer * n * inner), Out::new(out, outer * inner));
        if inner != 1 {
            reduce_inner(op, x, outer, n, inner, out);
        } else if op != 0 || n <= CUT {
            pool::rows(outer, n, 400, |o| {
                let row = x.add(o * n);
                let value = match op {
                    0 => sum_run(row, n) as f32,
                    1 => max_run(row, n),
                    _ => min_run(row, n),
                };
                out.put(o, value);
            });
        } else {
            let parts = n.div_ceil(CUT);
            let sums = memory::shared::<f64>(parts);
            for o in 0..outer {
                pool::run(parts, n / 4, |part, _| {
                    let (start, end) = (part * CUT, n.min((part + 1) * CUT));
                    sums.put(part, sum_run(x.add(o * n + start), end - start));
                });
                out.put(o, sums.slice(parts).iter().sum::<f64>() as f32);
            }
        }
    }
}

/// Columns that one task folds.
const STRIP: usize = 64;

/// # Safety
/// x holds outer · n · inner numbers, out room for outer · inner.
unsafe fn reduce_inner(op: u32, x: In<f32>, outer: usize, n: usize, inner: usize, out: Out<f32>) {
    let strips = inner.div_ceil(STRIP);
    // SAFETY: a strip's `width` columns from `start` on end at `inner`, and there are n rows of them.
    pool::run(outer * strips, outer * n * inner / 3, |task, _| unsafe {
        let (o, start) = (task / strips, task % strips * STRIP);
        let width = STRIP.min(inner - start);
        let x = x.add(o * n * inner + start);
        let out = out.add(o * inner + start);
        let first = [0.0, f32::NEG_INFINITY, f32::INFINITY][op as usize];
        let mut total = [0.0f64; STRIP];
        let mut part = [first; STRIP];
        let to = Out::of(&mut part);
        for j in 0..n {
            let row = x.add(j * inner);
            match op {
                0 => map2(*to, row, to, 0, width, add),
                1 => map2(*to, row, to, 0, width, |a, b| f32x4_max(a, b)),
                _ => map2(*to, row, to, 0, width, |a, b| f32x4_min(a, b)),
            }
            if op == 0 && (j % 128 == 127 || j + 1 == n) {
                for (t, p) in total.iter_mut().zip(to.slice_mut(STRIP)) {
                    *t += *p as f64;
                    *p = 0.0;
                }
            }
        }
        let part = to.slice(STRIP);
        for i in 0..width {
            out.put(i, if op == 0 { total[i] as f32 } else { part[i] });
        }
    });
}

/// out[r] = index of the first largest of a row; NaN is never larger.
///
/// # Safety
/// x is rows · width numbers, width at least 1; out room for one of `rows` each.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn argmax(x: usize, rows: usize, width: usize, out: usize) {
    // SAFETY: the caller's promise; r < rows, and `best` < width where it is read.
    unsafe {
        let (x, out) = (In::<f32>::new(x, rows * width), Out::<i32>::new(out, rows));
        pool::rows(rows, width, 500, |r| {
            let row = x.add(r * width);
            let mut best = 0;
            if !row.at(0).is_nan() {
                let most = max_number(row, width);
                while best < width && row.at(best) != most {
                    best += 1;
                }
            }
            out.put(r, best as i32);
        });
    }
}

/// out = e^(x − most) and its sum.
///
/// # Safety
/// x and out hold n numbers; out may be x.
unsafe fn exp_run(x: In<f32>, n: usize, most: f32, out: Out<f32>) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        map1(x, out, 0, n, |v| math::exp_negative(sub(v, splat(most))));
        sum_run(*out, n)
    }
}

/// out = softmax of each row of x.
///
/// # Safety
/// x and out are rows · width numbers; out may be x.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn softmax(x: usize, rows: usize, width: usize, out: usize) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let (x, out) = (In::new(x, rows * width), Out::new(out, rows * width));
        pool::rows(rows, width, 3000, |r| {
            let (row, out) = (x.add(r * width), out.add(r * width));
            let most = max_run(row, width);
            if most == f32::NEG_INFINITY {
                map1(*out, out, 0, width, |_| splat(0.0));
            } else {
                let scale = splat((1.0 / exp_run(row, width, most, out)) as f32);
                map1(*out, out, 0, width, |v| mul(v, scale));
            }
        });
    }
}

/// dx = y ⊙ (g − Σ g ⊙ y).
///
/// # Safety
/// y, g and out are rows · width numbers; out may be an operand.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn softmax_grad(y: usize, g: usize, rows: usize, width: usize, out: usize) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let size = rows * width;
        let (y, g, out) = (In::new(y, size), In::new(g, size), Out::new(out, size));
        pool::rows(rows, width, 1000, |r| {
            let (y, g) = (y.add(r * width), g.add(r * width));
            let dot = splat(sum(width, |i| mul(load(y.add(i)), load(g.add(i))), |i| y.at(i) * g.at(i)) as f32);
            map2(y, g, out.add(r * width), 0, width, |y, g| mul(y, sub(g, dot)));
        });
    }
}

const IGNORED: i32 = -100;

/// loss = lse − (1 − s) · logit[label] − s · mean(logits) per row.
///
/// # Safety
/// logits is rows · width numbers, labels one of 0..width or IGNORED for each row; loss and lse are room for a number each.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn cross_entropy(
    logits: usize,
    labels: usize,
    rows: usize,
    width: usize,
    smoothing: f32,
    loss: usize,
    lse: usize,
) {
    // SAFETY: the caller's promise; r < rows, and a label that is not IGNORED lies in its row.
    unsafe {
        let (logits, labels) = (In::<f32>::new(logits, rows * width), In::<i32>::new(labels, rows));
        let (loss, lse) = (Out::new(loss, rows), Out::new(lse, rows));
        pool::rows(rows, width, 2500, |r| {
            let row = logits.add(r * width);
            let most = max_run(row, width);
            let e = |v: V| math::exp_negative(sub(v, splat(most)));
            let total = if most == f32::NEG_INFINITY {
                f64::NEG_INFINITY
            } else {
                let terms = sum(width, |i| e(load(row.add(i))), |i| f32x4_extract_lane::<0>(e(splat(row.at(i)))));
                most as f64 + terms.ln()
            };
            lse.put(r, total as f32);
            let label = labels.at(r);
            let value = if label == IGNORED {
                0.0
            } else {
                debug_assert!((label as usize) < width, "label {label} of {width}");
                let s = smoothing as f64;
                let value = total - (1.0 - s) * row.at(label as usize) as f64;
                // Without smoothing the mean must not enter: 0 times a logit of −∞ is NaN.
                (if s == 0.0 { value } else { value - s * sum_run(row, width) / width as f64 }) as f32
            };
            loss.put(r, value);
        });
    }
}

/// dlogits = g[row] · (softmax − (1 − s) · onehot − s/v); `out` may be the logits.
///
/// # Safety
/// logits and out are rows · width numbers, labels one of 0..width or IGNORED for each row, lse and g a number each.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn cross_entropy_grad(
    logits: usize,
    labels: usize,
    rows: usize,
    width: usize,
    smoothing: f32,
    lse: usize,
    g: usize,
    out: usize,
) {
    // SAFETY: the caller's promise; r < rows, and a label that is not IGNORED lies in its row.
    unsafe {
        let (logits, labels) = (In::<f32>::new(logits, rows * width), In::<i32>::new(labels, rows));
        let (lse, g) = (In::<f32>::new(lse, rows), In::<f32>::new(g, rows));
        let out = Out::<f32>::new(out, rows * width);
        pool::rows(rows, width, 2500, |r| {
            let out = out.add(r * width);
            let label = labels.at(r);
            if label == IGNORED {
                map1(*out, out, 0, width, |_| splat(0.0));
                return;
            }
            debug_assert!((label as usize) < width, "label {label} of {width}");
            let row = logits.add(r * width);
            let total = splat(lse.at(r));
            let upstream = g.at(r);
            let (scale, even) = (splat(upstream), splat(smoothing / width as f32));
            // The label's own term apart, so that softmax − 1 loses nothing; read first, since out may be the logits.
            let p = f32x4_extract_lane::<0>(math::exp(sub(splat(row.at(label as usize)), total)));
            map1(row, out, 0, width, |v| mul(scale, sub(math::exp_negative(sub(v, total)), even)));
            out.put(label as usize, upstream * (p - (1.0 - smoothing) - smoothing / width as f32));
        });
    }
}

/// Position of the first of n indices that is neither in 0..limit nor `allowed`; n when there is none.
///
/// # Safety
/// ids is n indices.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn first_outside(ids: usize, n: usize, limit: u32, allowed: i32) -> usize {
    // SAFETY: the caller's promise.
    let ids = unsafe { In::<i32>::new(ids, n).slice(n) };
    let outside = |id: &i32| (*id as u32) >= limit && *id != allowed;
    ids.iter().position(outside).unwrap_or(n)
}
