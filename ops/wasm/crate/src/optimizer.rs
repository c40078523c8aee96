//! One AdamW step (arXiv 1711.05101) and the random stream (Threefry-2x32-20, core/tensor/key.ts).

use crate::pool;
use crate::simd::*;
use crate::span::{In, Out};

/// m' = β₁ m + (1 − β₁) g, v' = β₂ v + (1 − β₂) g², p' = keep · p − rate · m' / (√(v' · c) + ε) with keep = 1 − η λ,
/// rate = η / (1 − β₁ᵗ), c = 1 / (1 − β₂ᵗ). Outputs may be the inputs.
///
/// # Safety
/// All seven are n numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn adamw(
    p: usize,
    g: usize,
    m: usize,
    v: usize,
    n: usize,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    keep: f32,
    rate: f32,
    correct2: f32,
    epsilon: f32,
    next_p: usize,
    next_m: usize,
    next_v: usize,
) {
    // SAFETY: the caller's promise.
    let [p, g, m, v] = [p, g, m, v].map(|x| unsafe { In::new(x, n) });
    // SAFETY: the caller's promise.
    let [next_p, next_m, next_v] = [next_p, next_m, next_v].map(|x| unsafe { Out::new(x, n) });
    // SAFETY: pieces end at n, and the last numbers of one are at most as many as are left.
    pool::pieces(n, 16_384, 3000, |start, end| unsafe {
        let mut i = start;
        while i < end {
            let n = (end - i).min(4);
            let get = |x: In<f32>| {
                let x = x.add(i);
                if n == 4 { load(x) } else { load_part(x, n, 0.0) }
            };
            let put = |x: Out<f32>, y: V| {
                let x = x.add(i);
                if n == 4 { store(x, y) } else { store_part(x, n, y) }
            };
            let (pi, gi) = (get(p), get(g));
            let mi = madd(splat(beta1), get(m), mul(splat(rest1), gi));
            let vi = madd(splat(beta2), get(v), mul(splat(rest2), mul(gi, gi)));
            let root = add(f32x4_sqrt(mul(vi, splat(correct2))), splat(epsilon));
            put(next_p, nmadd(splat(rate), div(mi, root), mul(pi, splat(keep))));
            put(next_m, mi);
            put(next_v, vi);
            i += 4;
        }
    });
}

/// Both words of eight counters from `first` on; two chains at once, because one leaves the machine waiting.
#[inline(always)]
pub fn threefry(a: u32, b: u32, first: u32) -> ([V; 2], [V; 2]) {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let schedule = [a, b, a ^ b ^ 0x1bd1_1bda];
    let counter = i32x4_add(u32x4_splat(first.wrapping_add(a)), u32x4(0, 1, 2, 3));
    let mut x = [counter, i32x4_add(counter, i32x4_splat(4))];
    let mut y = [u32x4_splat(b); 2];
    for group in 0..5 {
        for bits in ROTATIONS[group % 2] {
            for u in 0..2 {
                x[u] = i32x4_add(x[u], y[u]);
                y[u] = v128_xor(v128_or(u32x4_shl(y[u], bits), u32x4_shr(y[u], 32 - bits)), x[u]);
            }
        }
        for u in 0..2 {
            x[u] = i32x4_add(x[u], u32x4_splat(schedule[(group + 1) % 3]));
            y[u] = i32x4_add(y[u], u32x4_splat(schedule[(group + 2) % 3].wrapping_add(group as u32 + 1)));
        }
    }
    (x, y)
}

/// out[i] = the top 24 bits of word i of the key's stream, times 2^-24.
///
/// # Safety
/// out is room for n numbers.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn uniform(a: u32, b: u32, out: usize, n: usize) {
    let unit = |bits: V| mul(f32x4_convert_u32x4(u32x4_shr(bits, 8)), splat(1.0 / 16_777_216.0));
    // SAFETY: the caller's promise.
    let out = unsafe { Out::new(out, n) };
    // SAFETY: pieces end at n, and nothing is written at or past the end of one.
    pool::pieces(n, 16_384, 3000, |start, end| unsafe {
        for i in (start..end).step_by(16) {
            let (x, y) = threefry(a, b, (i / 2) as u32);
            for u in 0..2 {
                for (half, words) in [i32x4_shuffle::<0, 4, 1, 5>(x[u], y[u]), i32x4_shuffle::<2, 6, 3, 7>(x[u], y[u])]
                    .into_iter()
                    .enumerate()
                {
                    let at = i + 8 * u + 4 * half;
                    let to = out.wrapping_add(at);
                    match end.saturating_sub(at) {
                        0 => {}
                        n @ 1..=3 => store_part(to, n, unit(words)),
                        _ => store(to, unit(words)),
                    }
                }
            }
        }
    });
}
