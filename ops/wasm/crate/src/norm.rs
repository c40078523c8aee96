//! Normalisation over the last axis, its derivatives in x, and rotary positions. Row sums go on in f64 past 256 terms.

use crate::pool;
use crate::simd::*;
use crate::span::{In, Out};

const PICOS: usize = 1500;

/// y = x · inverse · weight, inverse = 1/√(mean x² + ε).
///
/// # Safety
/// x and out are rows · width numbers, weight width, inverse room for one of each row; out may be x.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn rms_norm(
    x: usize,
    weight: usize,
    epsilon: f32,
    rows: usize,
    width: usize,
    out: usize,
    inverse: usize,
) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let size = rows * width;
        let (x, weight) = (In::<f32>::new(x, size), In::new(weight, width));
        let (out, inverse) = (Out::new(out, size), Out::new(inverse, rows));
        pool::rows(rows, width, PICOS, |r| {
            let row = x.add(r * width);
            let square = |v: V| mul(v, v);
            let squares = sum(width, |i| square(load(row.add(i))), |i| row.at(i) * row.at(i));
            let factor = (1.0 / (squares / width as f64 + epsilon as f64).sqrt()) as f32;
            inverse.put(r, factor);
            let f = splat(factor);
            map2(row, weight, out.add(r * width), 0, width, |v, w| mul(mul(v, f), w));
        });
    }
}

/// dx = inverse · (w g − x · inverse² · mean(w g x)).
///
/// # Safety
/// x, g and dx are rows · width numbers, weight width, inverse one of each row; dx is neither x nor weight.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn rms_norm_grad(
    x: usize,
    weight: usize,
    inverse: usize,
    g: usize,
    rows: usize,
    width: usize,
    dx: usize,
) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let size = rows * width;
        let (x, g, w) = (In::<f32>::new(x, size), In::<f32>::new(g, size), In::<f32>::new(weight, width));
        let (inverse, dx) = (In::<f32>::new(inverse, rows), Out::new(dx, size));
        pool::rows(rows, width, PICOS, |r| {
            let x = x.add(r * width);
            let g = g.add(r * width);
            let dx = dx.add(r * width);
            let factor = inverse.at(r) as f64;
            let dot = sum(
                width,
                |i| mul(mul(load(w.add(i)), load(g.add(i))), load(x.add(i))),
                |i| w.at(i) * g.at(i) * x.at(i),
            );
            let f = splat(factor as f32);
            let c = splat((factor * factor * factor * dot / width as f64) as f32);
            map2(w, g, dx, 0, width, |w, g| mul(f, mul(w, g)));
            map2(x, *dx, dx, 0, width, |x, y| nmadd(x, c, y));
        });
    }
}

/// y = (x − mean) · inverse · weight + bias.
///
/// # Safety
/// x and out are rows · width numbers, weight and bias width, mean and inverse room for one of each row; out may be x.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn layer_norm(
    x: usize,
    weight: usize,
    bias: usize,
    epsilon: f32,
    rows: usize,
    width: usize,
    out: usize,
    mean: usize,
    inverse: usize,
) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let size = rows * width;
        let (x, weight, bias) = (In::<f32>::new(x, size), In::new(weight, width), In::new(bias, width));
        let (out, mean, inverse) = (Out::new(out, size), Out::new(mean, rows), Out::new(inverse, rows));
        pool::rows(rows, width, PICOS, |r| {
            let row = x.add(r * width);
            let out = out.add(r * width);
            let centre = (sum(width, |i| load(row.add(i)), |i| row.at(i)) / width as f64) as f32;
            let c = splat(centre);
            let square = |v: V| mul(v, v);
            let squares =
                sum(width, |i| square(sub(load(row.add(i)), c)), |i| (row.at(i) - centre) * (row.at(i) - centre));
            let factor = (1.0 / (squares / width as f64 + epsilon as f64).sqrt()) as f32;
            mean.put(r, centre);
            inverse.put(r, factor);
            let f = splat(factor);
            map2(row, weight, out, 0, width, |v, w| mul(mul(sub(v, c), f), w));
            map2(*out, bias, out, 0, width, add);
        });
    }
}

/// dx = inverse · (w g − mean(w g) − x̂ · mean(w g x̂)), x̂ = (x − mean) · inverse.
///
/// # Safety
/// x, g and dx are rows · width numbers, weight width, mean and inverse one of each row; dx is neither x nor weight.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn layer_norm_grad(
    x: usize,
    weight: usize,
    mean: usize,
    inverse: usize,
    g: usize,
    rows: usize,
    width: usize,
    dx: usize,
) {
    // SAFETY: the caller's promise; r < rows.
    unsafe {
        let size = rows * width;
        let (x, g, w) = (In::<f32>::new(x, size), In::<f32>::new(g, size), In::<f32>::new(weight, width));
        let (mean, inverse) = (In::<f32>::new(mean, rows), In::<f32>::new(inverse, rows));
        let dx = Out::new(dx, size);
        pool::rows(rows, width, PICOS, |r| {
            let x = x.add(r * width);
            let g = g.add(r * width);
            let dx = dx.add(r * width);
            let (centre, factor) = (mean.at(r), inverse.at(r));
            let (c, f, n) = (splat(centre), splat(factor), width as f64);
            let total = sum(width, |i| mul(load(w.add(i)), load(g.add(i))), |i| w.at(i) * g.at(i));
            let dot = sum(
                width,
                |i| mul(mul(load(w.add(i)), load(g.add(i))), mul(sub(load(x.add(i)), c), f)),
                |i| w.at(i) * g.at(i) * (x.at(i) - centre) * factor,
            );
            let (a, b) = (splat((total / n) as f32), splat((dot / n) as f32));
            map2(w, g, dx, 0, width, |w, g| sub(mul(w, g), a));
            map2(x, *dx, dx, 0, width, |x, y| mul(f, nmadd(mul(sub(x, c), f), b, y)));
        });
    }
}

/// Rotates pairs (j, j + d/2) of x [tokens, h, d] by the angle of row `token % tables` of cos and sin [tables, d/2].
///
/// # Safety
/// x and out are tokens · h · d numbers, cos and sin tables · (d / 2); d is even and tables at least 1; out may be x.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn rope(
    x: usize,
    cos: usize,
    sin: usize,
    sign: f32,
    tokens: usize,
    tables: usize,
    h: usize,
    d: usize,
    out: usize,
) {
    let half = d / 2;
    debug_assert!(d.is_multiple_of(2) && tables > 0, "pairs of {d} numbers by {tables} tables");
    // SAFETY: the caller's promise; token < tokens, j < half, or j + 4 ≤ half where four are rotated.
    unsafe {
        let (x, out) = (In::<f32>::new(x, tokens * h * d), Out::new(out, tokens * h * d));
        let (cos, sin) = (In::<f32>::new(cos, tables * half), In::<f32>::new(sin, tables * half));
        pool::rows(tokens, h * d, 1000, |token| {
            let row = token % tables * half;
            let (cos, sin) = (cos.add(row), sin.add(row));
            for head in 0..h {
                let at = (token * h + head) * d;
                let (x, out) = (x.add(at), out.add(at));
                let mut j = 0;
                while j + 4 <= half {
                    let (c, s) = (load(cos.add(j)), mul(load(sin.add(j)), splat(sign)));
                    let (first, second) = (load(x.add(j)), load(x.add(j + half)));
                    store(out.add(j), nmadd(second, s, mul(first, c)));
                    store(out.add(j + half), madd(first, s, mul(second, c)));
                    j += 4;
                }
                while j < half {
                    let (c, s) = (cos.at(j), sin.at(j) * sign);
                    let (first, second) = (x.at(j), x.at(j + half));
                    out.put(j, first * c - second * s);
                    out.put(j + half, second * c + first * s);
                    j += 1;
                }
            }
        });
    }
}
