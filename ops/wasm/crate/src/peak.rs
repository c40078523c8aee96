//! What the machine can do: the yardstick for the products.

use crate::simd::*;
#[cfg(target_arch = "wasm32")]
use crate::{
    memory,
    tile::{KC, MR, NR, put, tile},
};

/// Runs `count` rounds of ten independent fused multiply-adds of four lanes: 80 operations for each round.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn fma_peak(count: u32, seed: f32) -> f32 {
    let x = f32x4_splat(seed);
    let y = f32x4_splat(1.0 - seed);
    let mut s = [x; 10];
    for _ in 0..count {
        for lane in s.iter_mut() {
            *lane = f32x4_relaxed_madd(*lane, x, y);
        }
    }
    let mut total = s[0];
    for lane in &s[1..] {
        total = f32x4_add(total, *lane);
    }
    f32x4_extract_lane::<0>(total)
}

/// Runs `count` tiles of the product over a block of k, on panels that stay in the first-level cache: 2 · MR · NR · KC
/// operations for each tile, of which the products can reach no more.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn tile_peak(count: u32) -> f32 {
    let a = memory::shared::<f32>(MR * KC + NR * KC + MR * NR);
    // SAFETY: panels of KC steps and a tile follow each other in the scratch.
    unsafe {
        let b = a.add(MR * KC);
        let out = b.add(NR * KC);
        a.fill(MR * KC + NR * KC + MR * NR, 0.5);
        for _ in 0..count {
            put(&tile(KC, *a, *b), out, NR, MR, NR, true);
        }
        out.at(0)
    }
}
