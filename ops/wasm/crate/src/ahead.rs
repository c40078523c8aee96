//! Fetching the part of B that comes next while the tiles of the present one run: reading it from memory takes about as long as
//! a third of the tiles. WebAssembly has no instruction for it.

use crate::span::In;

/// Rows of B in memory, fetched share by share.
pub struct Ahead {
    at: *const f32,
    /// Values from a row to the next, and of a row.
    lead: usize,
    length: usize,
    rows: usize,
    /// Rows of a share.
    share: usize,
    done: usize,
}

impl Ahead {
    /// Where nothing follows.
    pub const fn nothing() -> Self {
        Ahead { at: core::ptr::null(), lead: 0, length: 0, rows: 0, share: 0, done: 0 }
    }

    /// `rows` rows of `length` values, `lead` apart, in `shares` shares.
    pub fn new(at: In<f32>, lead: usize, length: usize, rows: usize, shares: usize) -> Self {
        Ahead { at: at.ptr(), lead, length, rows, share: rows.div_ceil(shares.max(1)), done: 0 }
    }

    /// Fetches a share.
    #[inline(always)]
    pub fn step(&mut self) {
        let Some(line) = LINE else { return };
        let stop = (self.done + self.share).min(self.rows);
        while self.done < stop {
            let row = self.at.wrapping_add(self.done * self.lead);
            for value in (0..self.length).step_by(line) {
                fetch(row.wrapping_add(value));
            }
            self.done += 1;
        }
    }
}

/// Values of a line of the cache; none where nothing can be fetched.
const LINE: Option<usize> = if cfg!(target_arch = "x86_64") { Some(16) } else { None };

/// Into the second-level cache: the first one holds the present panel.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch(p: *const f32) {
    use core::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
    // SAFETY: fetching is allowed at any address: where nothing is, nothing happens.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(p as *const i8) };
}
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn fetch(_: *const f32) {}

/// Into the first-level cache.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn fetch_near(p: In<f32>) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: as in `fetch`.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.ptr() as *const i8) };
}
#[cfg(all(not(target_arch = "x86_64"), not(target_arch = "wasm32")))]
#[inline(always)]
pub fn fetch_near(_: In<f32>) {}
