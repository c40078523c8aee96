//! One AdamW step (arXiv 1711.05101) and the random stream (Threefry-2x32-20, core/tensor/key.ts).

use crate::pool;
use crate::simd::*;
use wasm_bindgen::prelude::*;

/// m' = β₁ m + (1 − β₁) g, v' = β₂ v + (1 − β₂) g², p' = keep · p − rate · m' / (√(v' · c) + ε) with keep = 1 − η λ,
/// rate = η / (1 − β₁ᵗ), c = 1 / (1 − β₂ᵗ). Outputs may be the inputs.
#[wasm_bindgen]
pub fn adamw(
    p: u32, g: u32, m: u32, v: u32, n: u32, beta1: f32, beta2: f32, rest1: f32, rest2: f32, keep: f32, rate: f32,
    correct2: f32, epsilon: f32, next_p: u32, next_m: u32, next_v: u32,
) {
    let [p, g, m, v, next_p, next_m, next_v] = [p, g, m, v, next_p, next_m, next_v].map(|x| x as usize);
    pool::pieces(n as usize, 16_384, 3000, |start, end| unsafe {
        let mut i = start;
        while i < end {
            let n = (end - i).min(4);
            let get = |x: usize| {
                let x = (x as *const f32).add(i);
                if n == 4 { load(x) } else { load_part(x, n, 0.0) }
            };
            let put = |x: usize, y: V| {
                let x = (x as *mut f32).add(i);
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

/// Both words of four counters.
#[inline(always)]
fn threefry(a: u32, b: u32, counter: V) -> (V, V) {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let schedule = [a, b, a ^ b ^ 0x1bd1_1bda];
    let mut x = i32x4_add(counter, u32x4_splat(a));
    let mut y = u32x4_splat(b);
    for group in 0..5 {
        for bits in ROTATIONS[group % 2] {
            x = i32x4_add(x, y);
            y = v128_xor(v128_or(u32x4_shl(y, bits), u32x4_shr(y, 32 - bits)), x);
        }
        x = i32x4_add(x, u32x4_splat(schedule[(group + 1) % 3]));
        y = i32x4_add(y, u32x4_splat(schedule[(group + 2) % 3].wrapping_add(group as u32 + 1)));
    }
    (x, y)
}

/// out[i] = the top 24 bits of word i of the key's stream, times 2^-24.
#[wasm_bindgen]
pub fn uniform(a: u32, b: u32, out: u32, n: u32) {
    let out = out as usize;
    pool::pieces(n as usize, 16_384, 3000, |start, end| unsafe {
        let mut i = start;
        while i < end {
            let first = (i / 2) as u32;
            let (x, y) = threefry(a, b, u32x4(first, first + 1, first + 2, first + 3));
            let unit = |bits: V| mul(f32x4_convert_u32x4(u32x4_shr(bits, 8)), splat(1.0 / 16_777_216.0));
            let low = unit(i32x4_shuffle::<0, 4, 1, 5>(x, y));
            let high = unit(i32x4_shuffle::<2, 6, 3, 7>(x, y));
            let out = (out as *mut f32).add(i);
            match end - i {
                n @ 1..=3 => store_part(out, n, low),
                n @ 4..=7 => {
                    store(out, low);
                    store_part(out.add(4), n - 4, high)
                }
                _ => {
                    store(out, low);
                    store(out.add(4), high)
                }
            }
            i += 8;
        }
    });
}
