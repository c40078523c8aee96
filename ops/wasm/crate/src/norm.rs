//! Normalisation over the last axis, its derivatives in x, and rotary positions. Row sums go on in f64 past 256 terms.

use crate::pool;
use crate::simd::*;

const PICOS: usize = 1500;

/// y = x · inverse · weight, inverse = 1/√(mean x² + ε).
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn rms_norm(
    x: usize,
    weight: usize,
    epsilon: f32,
    rows: usize,
    width: usize,
    out: usize,
    inverse: usize,
) {
    pool::rows(rows, width, PICOS, |r| unsafe {
        let row = (x as *const f32).add(r * width);
        let square = |v: V| mul(v, v);
        let squares = sum(width, |i| square(load(row.add(i))), |i| *row.add(i) * *row.add(i));
        let factor = (1.0 / (squares / width as f64 + epsilon as f64).sqrt()) as f32;
        *(inverse as *mut f32).add(r) = factor;
        let f = splat(factor);
        map2(row, weight as *const f32, (out as *mut f32).add(r * width), 0, width, |v, w| mul(mul(v, f), w));
    });
}

/// dx = inverse · (w g − x · inverse² · mean(w g x)).
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn rms_norm_grad(
    x: usize,
    weight: usize,
    inverse: usize,
    g: usize,
    rows: usize,
    width: usize,
    dx: usize,
) {
    pool::rows(rows, width, PICOS, |r| unsafe {
        let x = (x as *const f32).add(r * width);
        let g = (g as *const f32).add(r * width);
        let w = weight as *const f32;
        let dx = (dx as *mut f32).add(r * width);
        let factor = *(inverse as *const f32).add(r) as f64;
        let dot = sum(
            width,
            |i| mul(mul(load(w.add(i)), load(g.add(i))), load(x.add(i))),
            |i| *w.add(i) * *g.add(i) * *x.add(i),
        );
        let f = splat(factor as f32);
        let c = splat((factor * factor * factor * dot / width as f64) as f32);
        map2(w, g, dx, 0, width, |w, g| mul(f, mul(w, g)));
        map2(x, dx, dx, 0, width, |x, y| nmadd(x, c, y));
    });
}

/// y = (x − mean) · inverse · weight + bias.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn layer_norm(
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
    pool::rows(rows, width, PICOS, |r| unsafe {
        let row = (x as *const f32).add(r * width);
        let out = (out as *mut f32).add(r * width);
        let centre = (sum(width, |i| load(row.add(i)), |i| *row.add(i)) / width as f64) as f32;
        let c = splat(centre);
        let square = |v: V| mul(v, v);
        let squares =
            sum(width, |i| square(sub(load(row.add(i)), c)), |i| (*row.add(i) - centre) * (*row.add(i) - centre));
        let factor = (1.0 / (squares / width as f64 + epsilon as f64).sqrt()) as f32;
        *(mean as *mut f32).add(r) = centre;
        *(inverse as *mut f32).add(r) = factor;
        let f = splat(factor);
        map2(row, weight as *const f32, out, 0, width, |v, w| mul(mul(sub(v, c), f), w));
        map2(out, bias as *const f32, out, 0, width, add);
    });
}

/// dx = inverse · (w g − mean(w g) − x̂ · mean(w g x̂)), x̂ = (x − mean) · inverse.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn layer_norm_grad(
    x: usize,
    weight: usize,
    mean: usize,
    inverse: usize,
    g: usize,
    rows: usize,
    width: usize,
    dx: usize,
) {
    pool::rows(rows, width, PICOS, |r| unsafe {
        let x = (x as *const f32).add(r * width);
        let g = (g as *const f32).add(r * width);
        let w = weight as *const f32;
        let dx = (dx as *mut f32).add(r * width);
        let (centre, factor) = (*(mean as *const f32).add(r), *(inverse as *const f32).add(r));
        let (c, f, n) = (splat(centre), splat(factor), width as f64);
        let total = sum(width, |i| mul(load(w.add(i)), load(g.add(i))), |i| *w.add(i) * *g.add(i));
        let dot = sum(
            width,
            |i| mul(mul(load(w.add(i)), load(g.add(i))), mul(sub(load(x.add(i)), c), f)),
            |i| *w.add(i) * *g.add(i) * (*x.add(i) - centre) * factor,
        );
        let (a, b) = (splat((total / n) as f32), splat((dot / n) as f32));
        map2(w, g, dx, 0, width, |w, g| sub(mul(w, g), a));
        map2(x, dx, dx, 0, width, |x, y| mul(f, nmadd(mul(sub(x, c), f), b, y)));
    });
}

/// Rotates pairs (j, j + d/2) of x [tokens, h, d] by the angle of row `token % tables` of cos and sin [tables, d/2].
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn rope(
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
    pool::rows(tokens, h * d, 1000, |token| unsafe {
        let cos = (cos as *const f32).add(token % tables * half);
        let sin = (sin as *const f32).add(token % tables * half);
        for head in 0..h {
            let at = (token * h + head) * d;
            let (x, out) = ((x as *const f32).add(at), (out as *mut f32).add(at));
            let mut j = 0;
            while j + 4 <= half {
                let (c, s) = (load(cos.add(j)), mul(load(sin.add(j)), splat(sign)));
                let (first, second) = (load(x.add(j)), load(x.add(j + half)));
                store(out.add(j), nmadd(second, s, mul(first, c)));
                store(out.add(j + half), madd(first, s, mul(second, c)));
                j += 4;
            }
            while j < half {
                let (c, s) = (*cos.add(j), *sin.add(j) * sign);
                let (first, second) = (*x.add(j), *x.add(j + half));
                *out.add(j) = first * c - second * s;
                *out.add(j + half) = second * c + first * s;
                j += 1;
            }
        }
    });
}
