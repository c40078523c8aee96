//! f16 numbers that stand alone, as the scales of GGUF blocks do: WebAssembly has no instruction for them, and its ten others
//! would be a fifth of a product of one row, so there they are looked up.

use crate::decode::half;
use crate::span::In;

/// Reads them.
#[derive(Clone, Copy)]
pub struct Halves(());

#[cfg(target_arch = "wasm32")]
mod table {
    use core::cell::UnsafeCell;
    use core::sync::atomic::AtomicBool;

    pub struct Table(pub UnsafeCell<[f32; 1 << 16]>);
    // SAFETY: every thread that writes it writes the same numbers, and READY is set behind the last.
    unsafe impl Sync for Table {}
    pub static VALUES: Table = Table(UnsafeCell::new([0.0; 1 << 16]));
    pub static READY: AtomicBool = AtomicBool::new(false);
}

#[cfg(target_arch = "wasm32")]
impl Halves {
    pub fn new() -> Self {
        use core::sync::atomic::Ordering::{Acquire, Release};
        if !table::READY.load(Acquire) {
            let values = table::VALUES.0.get() as *mut f32;
            for bits in 0..=u16::MAX {
                // SAFETY: the table has a place for each of the 65,536; see `Table` for threads.
                unsafe { *values.add(bits as usize) = half(bits) };
            }
            table::READY.store(true, Release);
        }
        Halves(())
    }

    /// The table, which `new` has filled before.
    #[inline(always)]
    pub fn filled() -> Self {
        debug_assert!(table::READY.load(core::sync::atomic::Ordering::Acquire), "no table of halves");
        Halves(())
    }

    /// The number at `p`.
    ///
    /// # Safety
    /// Two bytes are there.
    #[inline(always)]
    pub unsafe fn at(self, p: In<u8>) -> f32 {
        // SAFETY: the caller's promise; the table has a place for every sixteen bits, filled when `self` was made.
        unsafe { *(table::VALUES.0.get() as *const f32).add(p.cast::<u16>().unaligned() as usize) }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Halves {
    pub fn new() -> Self {
        Halves(())
    }

    /// The number at `p`.
    ///
    /// # Safety
    /// Two bytes are there.
    #[inline(always)]
    pub unsafe fn at(self, p: In<u8>) -> f32 {
        // SAFETY: the caller's promise.
        half(unsafe { p.cast::<u16>().unaligned() })
    }
}
