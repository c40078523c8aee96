//! Normalisation over the last axis, its derivatives in x, and rotary positions. Row sums go on in f64 past 256 terms.

use crate::pool;
use crate::simd::*;
use wasm_bindgen::prelude::*;

const PICOS: usize = 1500;

/// y = x · inverse · weight, inverse = 1/√(mean x² + ε).
#[wasm_bindgen]
pub fn rms_norm(x: u32, weight: u32, epsilon: f32, rows: u32, width: u32, out: u32, inverse: u32) {
    let (x, weight, width) = (x as usize, weight as usize, width as usize);
    let (out, inverse) = (out as usize, inverse as usize);
    pool::rows(rows as usize, width, PICOS, |r| unsafe {
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
#[wasm_bindgen]
pub fn rms_norm_grad(x: u32, weight: u32, inverse: u32, g: u32, rows: u32, width: u32, dx: u32) {
    let (x, weight, inverse) = (x as usize, weight as usize, inverse as usize);
    let (g, width, dx) = (g as usize, width as usize, dx as usize);
    pool::rows(rows as usize, width, PICOS, |r| unsafe {
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
#[wasm_bindgen]
pub fn layer_norm(
    x: u32,
    weight: u32,
    bias: u32,
    epsilon: f32,
    rows: u32,
    width: u32,
    out: u32,
    mean: u32,
    inverse: u32,
) {
    let (x, weight, bias, width) = (x as usize, weight as usize, bias as usize, width as usize);
    let (out, mean, inverse) = (out as usize, mean as usize, inverse as usize);
    pool::rows(rows as usize, width, PICOS, |r| unsafe {
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
#[wasm_bindgen]
pub fn layer_norm_grad(x: u32, weight: u32, mean: u32, inverse: u32, g: u32, rows: u32, width: u32, dx: u32) {
    let (x, weight, mean, inverse) = (x as usize, weight as usize, mean as usize, inverse as usize);
    let (g, width, dx) = (g as usize, width as usize, dx as usize);
    pool::rows(rows as usize, width, PICOS, |r| unsafe {
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
#[wasm_bindgen]
pub fn rope(x: u32, cos: u32, sin: u32, sign: f32, tokens: u32, tables: u32, h: u32, d: u32, out: u32) {
    let (x, cos, sin, out) = (x as usize, cos as usize, sin as usize, out as usize);
    let (tables, h, d) = (tables as usize, h as usize, d as usize);
    let half = d / 2;
    pool::rows(tokens as usize, h * d, 1000, |token| unsafe {
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
