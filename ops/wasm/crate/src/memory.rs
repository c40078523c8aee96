//! Raw memory. Only the thread that calls kernels allocates; workers use the scratch that it set aside for them.

use crate::pool;
use std::alloc::{Layout, alloc, dealloc};

const ALIGN: usize = 64;

fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(ALIGN), ALIGN).ok()
}

/// Pages that the calling thread can reach; 0 where memory has no such end.
#[cfg(any(target_feature = "atomics", not(target_arch = "wasm32")))]
pub fn pages() -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size::<0>();
    #[cfg(not(target_arch = "wasm32"))]
    0
}

/// Uninitialised bytes at a multiple of 64, or 0 when there is no room.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn allocate(bytes: usize) -> usize {
    match layout(bytes) {
        Some(layout) => unsafe { alloc(layout) as usize },
        None => 0,
    }
}

/// Gives back what `allocate(bytes)` returned.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn release(pointer: usize, bytes: usize) {
    if let Some(layout) = layout(bytes) {
        unsafe { dealloc(pointer as *mut u8, layout) }
    }
}

/// (address, bytes) of the calling thread's slots.
type Slots = [(usize, usize); 2];

#[cfg(target_arch = "wasm32")]
fn with_slots<T>(f: impl FnOnce(&mut Slots) -> T) -> T {
    struct Scratch(core::cell::UnsafeCell<Slots>);
    // SAFETY: only the one thread that calls kernels touches it.
    unsafe impl Sync for Scratch {}
    static SCRATCH: Scratch = Scratch(core::cell::UnsafeCell::new([(0, 0); 2]));
    f(unsafe { &mut *SCRATCH.0.get() })
}

#[cfg(not(target_arch = "wasm32"))]
fn with_slots<T>(f: impl FnOnce(&mut Slots) -> T) -> T {
    thread_local! {
        static SCRATCH: core::cell::RefCell<Slots> = const { core::cell::RefCell::new([(0, 0); 2]) };
    }
    SCRATCH.with_borrow_mut(f)
}

/// Memory that lives until the next call with the same slot. @returns its address; traps when there is none.
fn reserve(slot: usize, bytes: usize) -> usize {
    with_slots(|slots| {
        let held = &mut slots[slot];
        if held.1 < bytes {
            if held.1 > 0 {
                release(held.0, held.1);
                *held = (0, 0);
            }
            let pointer = allocate(bytes);
            if pointer == 0 {
                std::process::abort();
            }
            *held = (pointer, bytes);
        }
        held.0
    })
}

/// Gives back the calling thread's scratch.
#[cfg(not(target_arch = "wasm32"))]
pub fn clear() {
    with_slots(|slots| {
        for (pointer, bytes) in core::mem::take(slots) {
            if bytes > 0 {
                release(pointer, bytes);
            }
        }
    });
}

/// One buffer for all threads.
pub fn shared(bytes: usize) -> usize {
    reserve(0, bytes)
}

/// One buffer a thread: thread i's starts at `base + i * bytes` (bytes rounded up to 64). Returns (base, bytes).
pub fn private(bytes: usize) -> (usize, usize) {
    let bytes = bytes.div_ceil(ALIGN) * ALIGN;
    (reserve(1, bytes * (pool::workers() + 1)), bytes)
}

/// Bytes held as scratch.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn scratch_bytes() -> usize {
    with_slots(|slots| slots.iter().map(|held| held.1).sum())
}
