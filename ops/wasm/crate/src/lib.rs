//! Kernels of graft's WASM backend and, compiled for the machine itself, of its native one. Every export takes addresses and
//! sizes as wide as an address; nothing is checked here: `backend.ts` is the only caller. `ops/reference` is the oracle of
//! every kernel.
//!
//! What a kernel's "Safety" says of an operand, "x is n numbers", means: they lie at that address, aligned and initialised, for
//! as long as the call takes, and nobody else writes to them meanwhile; of an output nobody else reads them, either. `span.rs`
//! asserts in debug builds that no kernel leaves what it was promised.
#![cfg_attr(target_feature = "atomics", feature(stdarch_wasm_atomic_wait))]
#![cfg_attr(not(target_arch = "wasm32"), feature(portable_simd))]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]
// A kernel's parameters are the words that its caller hands over one by one: there is no struct to take them from.
#![allow(clippy::too_many_arguments)]
// Where a loop's index also finds its way in memory, `enumerate` would show it twice.
#![allow(clippy::needless_range_loop)]
// WebAssembly's instructions are functions that need a target feature, which are not `Fn`: a closure around one is.
#![allow(clippy::redundant_closure)]

mod ahead;
mod attention;
mod attention_grad;
mod coded_rows;
mod decode;
mod elementwise;
mod encode;
mod fastfood;
mod four_bits;
mod gemm;
mod gemv;
mod gguf;
mod halves;
mod layout;
mod linalg;
mod math;
mod memory;
mod movement;
mod narrow;
#[cfg_attr(not(target_arch = "wasm32"), path = "wide_narrow_tile.rs")]
mod narrow_tile;
mod norm;
mod optimizer;
mod pack;
mod peak;
mod pool;
#[cfg(not(target_arch = "wasm32"))]
mod portable_simd;
mod reduce;
mod rounded;
mod rounded_codes;
mod rounded_inputs;
mod rounded_lanes;
mod rounded_panels;
#[cfg(not(target_arch = "wasm32"))]
mod rounded_plain;
mod rounded_rows;
#[cfg(test)]
mod rounded_tests;
#[cfg(target_arch = "wasm32")]
mod rounded_wasm;
#[cfg(target_arch = "x86_64")]
mod rounded_x86;
mod simd;
#[cfg_attr(not(target_arch = "wasm32"), path = "wide_sixteen.rs")]
mod sixteen;
mod span;
mod tables;
#[cfg(test)]
mod tests;
mod thin_qr;
#[cfg_attr(not(target_arch = "wasm32"), path = "wide_tile.rs")]
mod tile;
#[cfg(any(target_feature = "atomics", not(target_arch = "wasm32")))]
mod waiting;
mod walk;
mod walsh;

#[cfg(not(target_arch = "wasm32"))]
mod threads;

/// A worker's life: runs tasks until `stop_workers`. `thread` counts from 1.
///
/// # Safety
/// No other worker has the same number.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub unsafe fn run_worker(thread: usize) {
    // SAFETY: the caller's promise.
    unsafe { pool::current().work(thread) }
}

/// Tells the calling thread that a `run_worker` ended by a trap: the job it had in hand can never be done.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn worker_failed() {
    pool::current().fail()
}

/// Workers that are up.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn worker_count() -> usize {
    pool::workers()
}

/// Lets every `run_worker` return.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn stop_workers() {
    pool::current().stop()
}
