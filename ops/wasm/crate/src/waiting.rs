//! Sleeping until a word changes. WebAssembly has instructions for it; elsewhere one lock and one condition serve all words,
//! since few threads wait and seldom.

#[cfg(target_arch = "wasm32")]
use core::sync::atomic::AtomicU32;

/// Sleeps while `word` holds `value`, at most `nanos`.
#[cfg(target_arch = "wasm32")]
pub fn wait(word: &AtomicU32, value: u32, nanos: Option<i64>) {
    let at = word.as_ptr() as *mut i32;
    // SAFETY: the word is an atomic, aligned and alive while it is borrowed.
    unsafe { core::arch::wasm32::memory_atomic_wait32(at, value as i32, nanos.unwrap_or(-1)) };
}

/// Wakes up to `count` of those that sleep on `word`.
#[cfg(target_arch = "wasm32")]
pub fn notify(word: &AtomicU32, count: u32) {
    // SAFETY: as in `wait`.
    unsafe { core::arch::wasm32::memory_atomic_notify(word.as_ptr() as *mut i32, count) };
}

#[cfg(not(target_arch = "wasm32"))]
mod condition {
    use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use core::time::Duration;
    use std::sync::{Condvar, Mutex};

    static LOCK: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();

    pub fn wait(word: &AtomicU32, value: u32, nanos: Option<i64>) {
        let Ok(mut held) = LOCK.lock() else { return };
        while word.load(SeqCst) == value {
            held = match nanos {
                None => match CHANGED.wait(held) {
                    Ok(held) => held,
                    Err(_) => return,
                },
                Some(nanos) => return drop(CHANGED.wait_timeout(held, Duration::from_nanos(nanos as u64))),
            };
        }
    }

    /// Wakes all: those whose word has not changed sleep on.
    pub fn notify(_: &AtomicU32, _: u32) {
        drop(LOCK.lock());
        CHANGED.notify_all();
    }
}
#[cfg(not(target_arch = "wasm32"))]
pub use condition::{notify, wait};
