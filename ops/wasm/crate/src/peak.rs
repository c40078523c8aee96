//! What the machine can do: the yardstick for the products.

use crate::simd::*;

/// Runs `count` rounds of ten independent fused multiply-adds of four lanes: 80 operations a round.
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
