//! Kernels of graft's WASM backend. Every export takes addresses in the module's memory (u32) and sizes; nothing is
//! checked here: `backend.ts` is the only caller. `ops/reference` is the oracle of every kernel.
#![cfg_attr(target_feature = "atomics", feature(stdarch_wasm_atomic_wait))]
#![allow(clippy::missing_safety_doc, clippy::too_many_arguments, clippy::needless_range_loop)]

use wasm_bindgen::prelude::*;

mod attention;
mod attention_grad;
mod decode;
mod elementwise;
mod encode;
mod fastfood;
mod gemm;
mod gemv;
mod gguf;
mod linalg;
mod math;
mod memory;
mod movement;
mod norm;
mod optimizer;
mod pack;
mod peak;
mod pool;
mod reduce;
mod simd;
mod tables;
mod thin_qr;
mod walk;
mod walsh;

/// A worker's life: runs tasks until `stop_workers`. `thread` counts from 1.
#[wasm_bindgen]
pub fn run_worker(thread: u32) {
    unsafe { pool::worker(thread as usize) }
}

/// Workers that are up.
#[wasm_bindgen]
pub fn worker_count() -> u32 {
    pool::workers() as u32
}

/// Lets every `run_worker` return.
#[wasm_bindgen]
pub fn stop_workers() {
    pool::stop()
}
