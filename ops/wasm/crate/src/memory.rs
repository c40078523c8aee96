//! Raw memory. Only the thread that calls kernels allocates; workers use the scratch that it set aside for them.

use crate::pool;
use crate::span::Out;
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
        // SAFETY: a layout of `layout` has at least 64 bytes.
        Some(layout) => unsafe { alloc(layout) as usize },
        None => 0,
    }
}

/// Gives back what `allocate(bytes)` returned.
///
/// # Safety
/// `pointer` is what `allocate` returned for as many bytes, not given back yet, and nothing refers to it any more.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub unsafe extern "C" fn release(pointer: usize, bytes: usize) {
    debug_assert!(pointer != 0 && pointer.is_multiple_of(ALIGN), "not an address of `allocate`: {pointer}");
    if let Some(layout) = layout(bytes) {
        // SAFETY: the caller's promise: it was allocated with the layout of as many bytes.
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
    // SAFETY: as above, and no `f` of this file calls `with_slots` again.
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
                // SAFETY: the slot held it, and its users' memory lives until this very call.
                unsafe { release(held.0, held.1) };
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
                // SAFETY: the slots held it, and no kernel is running in the thread that clears them.
                unsafe { release(pointer, bytes) };
            }
        }
    });
}

/// One buffer of `n` values for all threads, which lives until the next call.
pub fn shared<T: Copy>(n: usize) -> Out<T> {
    // SAFETY: `reserve` gives as many bytes.
    unsafe { Out::new(reserve(0, n * size_of::<T>()), n) }
}

/// Buffers of `n` numbers, one for each thread, which live until the next call.
pub fn private(n: usize) -> Private {
    let bytes = (4 * n).div_ceil(ALIGN) * ALIGN;
    let threads = pool::workers() + 1;
    Private { base: reserve(1, bytes * threads), bytes, n, threads }
}

/// The threads' buffers, each at a multiple of 64 bytes.
pub struct Private {
    base: usize,
    bytes: usize,
    n: usize,
    threads: usize,
}

impl Private {
    /// The buffer of a thread, which only that thread may write to.
    #[inline(always)]
    pub fn of(&self, thread: usize) -> Out<f32> {
        assert!(thread < self.threads, "no such thread");
        // SAFETY: `private` reserved as many bytes for each of the threads.
        unsafe { Out::new(self.base + thread * self.bytes, self.n) }
    }
}

/// Bytes held as scratch.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen::prelude::wasm_bindgen)]
#[cfg_attr(not(target_arch = "wasm32"), unsafe(no_mangle))]
pub extern "C" fn scratch_bytes() -> usize {
    with_slots(|slots| slots.iter().map(|held| held.1).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_and_scratch_is_given_back() {
        let pointer = allocate(5);
        assert!(pointer != 0 && pointer.is_multiple_of(ALIGN));
        // SAFETY: it was allocated just now, with as many bytes.
        unsafe { release(pointer, 5) };
        shared::<f64>(9).holds(9);
        assert_eq!(scratch_bytes(), 72);
        private(17).of(0).holds(17);
        assert_eq!(scratch_bytes(), 72 + 128);
        clear();
        assert_eq!(scratch_bytes(), 0);
    }

    #[test]
    #[should_panic(expected = "out of bounds")]
    fn scratch_ends_where_it_was_asked_to_end() {
        private(17).of(0).holds(18);
    }

    #[test]
    #[should_panic(expected = "no such thread")]
    fn a_thread_without_a_buffer_panics() {
        private(17).of(1);
    }
}
