//! Threads of the native build: the library starts and ends its own, a pool for each thread that calls it.

use crate::memory;
use crate::pool::Pool;
use core::cell::{Cell, RefCell};
use std::thread::{self, JoinHandle};

/// Of a thread that has started none.
static ALONE: Pool = Pool::new();

thread_local! {
    static POOL: Cell<&'static Pool> = const { Cell::new(&ALONE) };
    static RUNNING: RefCell<Option<Vec<JoinHandle<()>>>> = const { RefCell::new(None) };
}

/// The calling thread's pool.
pub fn current() -> &'static Pool {
    POOL.get()
}

/// The first 32 bits of the hash of the sources that the library was made of; build.sh sets it.
#[unsafe(no_mangle)]
pub extern "C" fn sources() -> u32 {
    let hash = option_env!("GRAFT_SOURCES").and_then(|hash| hash.get(..8)).unwrap_or("0");
    u32::from_str_radix(hash, 16).unwrap_or(0)
}

/// Starts `count` workers for the calling thread and gives 1; 0 where it has some, or one could not be started.
#[unsafe(no_mangle)]
pub extern "C" fn start_workers(count: usize) -> u32 {
    if RUNNING.with_borrow(Option::is_some) {
        return 0;
    }
    // Workers and jobs refer to it as long as the process runs: it is a few words, so it is never given back.
    let pool: &'static Pool = Box::leak(Box::new(Pool::new()));
    // SAFETY: the pool is new, and its workers are numbered from 1 on, each once.
    let start = |thread: usize| thread::Builder::new().spawn(move || unsafe { pool.work(thread) });
    let (up, failed): (Vec<_>, Vec<_>) = (1..=count).map(start).partition(Result::is_ok);
    POOL.set(pool);
    RUNNING.set(Some(up.into_iter().flatten().collect()));
    if !failed.is_empty() {
        end_workers();
        return 0;
    }
    while pool.workers() < count {
        thread::yield_now(); // scratch is laid out for as many threads as are up
    }
    1
}

/// Ends the calling thread's workers; it may start others.
#[unsafe(no_mangle)]
pub extern "C" fn end_workers() {
    current().stop();
    for worker in RUNNING.take().into_iter().flatten() {
        drop(worker.join());
    }
    POOL.set(&ALONE);
    memory::clear();
}
