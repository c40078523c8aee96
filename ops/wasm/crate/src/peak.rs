//! What the machine can do: the yardstick for the products.

use core::arch::wasm32::*;
use wasm_bindgen::prelude::*;

/// Runs `count` rounds of ten independent fused multiply-adds of four lanes: 80 operations a round.
#[wasm_bindgen]
pub fn fma_peak(count: u32, seed: f32) -> f32 {
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
