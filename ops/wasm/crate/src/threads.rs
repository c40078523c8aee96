//! Threads of the native build: the library starts and ends its own.

use crate::pool;
use std::sync::Mutex;
use std::thread::JoinHandle;

/// The workers that run; none where nobody uses the library.
static RUNNING: Mutex<Option<Vec<JoinHandle<()>>>> = Mutex::new(None);

/// Starts `count` workers and gives 1; 0 where the library is in use, or a thread could not be started.
#[unsafe(no_mangle)]
pub extern "C" fn start_workers(count: usize) -> u32 {
    let Ok(mut running) = RUNNING.lock() else { return 0 };
    if running.is_some() {
        return 0;
    }
    pool::restart();
    let start = |thread: usize| std::thread::Builder::new().spawn(move || unsafe { pool::worker(thread) });
    let (up, failed): (Vec<_>, Vec<_>) = (1..=count).map(start).partition(Result::is_ok);
    *running = Some(up.into_iter().flatten().collect());
    drop(running);
    if failed.is_empty() {
        while pool::workers() < count {
            std::thread::yield_now(); // scratch is laid out for as many threads as are up
        }
        return 1;
    }
    end_workers();
    0
}

/// Ends the workers; the library may be opened again.
#[unsafe(no_mangle)]
pub extern "C" fn end_workers() {
    let Ok(mut running) = RUNNING.lock() else { return };
    pool::stop();
    for worker in running.take().into_iter().flatten() {
        drop(worker.join());
    }
}
