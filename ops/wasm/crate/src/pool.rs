//! Work sharing between the calling thread and workers that live in `worker`.
//!
//! A job is a number of tasks and a closure. Tasks are claimed one by one from a ticket that holds (epoch, next task)
//! in one atomic word, so a worker that wakes late can never claim from a job that is over: its exchange fails. The
//! caller takes part and waits only for tasks that were claimed, never for sleeping workers. How work is cut into tasks
//! depends on shapes alone, so results do not depend on the number of threads.

#[cfg(any(target_feature = "atomics", not(target_arch = "wasm32")))]
mod shared {
    use crate::waiting::{notify, wait};
    use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

    static WORKERS: AtomicU32 = AtomicU32::new(0);
    static TICKET: AtomicU64 = AtomicU64::new(CLOSED);
    static EPOCH: AtomicU32 = AtomicU32::new(0);
    static SLEEPING: AtomicU32 = AtomicU32::new(0);
    static CALL: AtomicUsize = AtomicUsize::new(0);
    static DATA: AtomicUsize = AtomicUsize::new(0);
    static TASKS: AtomicU32 = AtomicU32::new(0);
    static DONE: AtomicU32 = AtomicU32::new(0);
    static WAITING: AtomicU32 = AtomicU32::new(0);
    static STOP: AtomicU32 = AtomicU32::new(0);

    const CLOSED: u64 = u32::MAX as u64;
    /// Polls before sleeping: about 200 µs, longer than nearly every gap between two kernels of a training step.
    const SPINS: u32 = 100_000;

    type Call = unsafe fn(usize, usize, usize);

    /// Claims and runs tasks of the open job until none is left.
    unsafe fn drain(thread: usize) {
        loop {
            let ticket = TICKET.load(SeqCst);
            let next = ticket as u32;
            let tasks = TASKS.load(SeqCst);
            let call = CALL.load(SeqCst);
            let data = DATA.load(SeqCst);
            if next == u32::MAX || next >= tasks {
                return;
            }
            if TICKET.compare_exchange(ticket, ticket + 1, SeqCst, SeqCst).is_err() {
                continue;
            }
            unsafe {
                let call: Call = core::mem::transmute(call);
                call(data, next as usize, thread);
            }
            if DONE.fetch_add(1, SeqCst) + 1 == tasks && WAITING.load(SeqCst) != 0 {
                notify(&DONE, 1);
            }
        }
    }

    pub unsafe fn worker(thread: usize) {
        WORKERS.fetch_add(1, SeqCst);
        let mut seen = 0;
        while STOP.load(SeqCst) == 0 {
            unsafe { drain(thread) };
            let mut spins = 0;
            loop {
                let now = EPOCH.load(SeqCst);
                if now != seen {
                    seen = now;
                    break;
                }
                spins += 1;
                if spins > SPINS {
                    SLEEPING.fetch_add(1, SeqCst);
                    wait(&EPOCH, seen, None);
                    SLEEPING.fetch_sub(1, SeqCst);
                }
            }
        }
        WORKERS.fetch_sub(1, SeqCst);
    }

    /// Lets workers start again after `stop`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn restart() {
        STOP.store(0, SeqCst);
    }

    pub fn stop() {
        STOP.store(1, SeqCst);
        EPOCH.fetch_add(1, SeqCst);
        notify(&EPOCH, u32::MAX);
    }

    pub fn workers() -> usize {
        WORKERS.load(SeqCst) as usize
    }

    unsafe fn trampoline<F: Fn(usize, usize) + Sync>(data: usize, task: usize, thread: usize) {
        unsafe { (*(data as *const F))(task, thread) }
    }

    pub fn share<F: Fn(usize, usize) + Sync>(tasks: usize, f: &F) {
        let epoch = EPOCH.load(SeqCst).wrapping_add(1);
        TICKET.store(((epoch as u64) << 32) | CLOSED, SeqCst);
        let call: Call = trampoline::<F>;
        CALL.store(call as usize, SeqCst);
        DATA.store(f as *const F as usize, SeqCst);
        TASKS.store(tasks as u32, SeqCst);
        DONE.store(0, SeqCst);
        TICKET.store((epoch as u64) << 32, SeqCst);
        EPOCH.store(epoch, SeqCst);
        if SLEEPING.load(SeqCst) != 0 {
            notify(&EPOCH, tasks as u32 - 1);
        }
        unsafe { drain(0) };
        let mut spins = 0;
        loop {
            let done = DONE.load(SeqCst);
            if done == tasks as u32 {
                return;
            }
            spins += 1;
            if spins > SPINS {
                WAITING.store(1, SeqCst);
                // The limit of 1 ms covers a notification that came between the load and the store above.
                wait(&DONE, done, Some(1_000_000));
                WAITING.store(0, SeqCst);
            }
        }
    }
}

#[cfg(not(any(target_feature = "atomics", not(target_arch = "wasm32"))))]
mod shared {
    pub unsafe fn worker(_thread: usize) {}
    pub fn stop() {}
    pub fn workers() -> usize {
        0
    }
    pub fn share<F: Fn(usize, usize) + Sync>(_tasks: usize, _f: &F) {}
}

#[cfg(not(target_arch = "wasm32"))]
pub use shared::restart;
pub use shared::{stop, worker, workers};

/// Work of a job, in rough nanoseconds on one core, below which waking others costs more than it saves.
const WORTH: usize = 20_000;

/// Runs `f(task, thread)` for every task. `cost` is the work of the whole job in rough nanoseconds.
pub fn run<F: Fn(usize, usize) + Sync>(tasks: usize, cost: usize, f: F) {
    if tasks > 1 && cost >= WORTH && workers() > 0 {
        shared::share(tasks, &f);
    } else {
        for task in 0..tasks {
            f(task, 0);
        }
    }
}

/// Runs `f(start, end)` over pieces of `0..n` of `piece` elements. `picos`: work for one element in picoseconds.
pub fn pieces<F: Fn(usize, usize) + Sync>(n: usize, piece: usize, picos: usize, f: F) {
    let cost = (n as u64 * picos as u64 / 1000).min(u32::MAX as u64) as usize;
    run(n.div_ceil(piece), cost, |task, _| f(task * piece, n.min((task + 1) * piece)));
}

/// Rows to hand out at once so that one task is about 16,384 elements.
pub fn rows_a_task(width: usize) -> usize {
    (16_384 / width.max(1)).max(1)
}

/// Runs `f(row)` for every row of `width` elements.
pub fn rows<F: Fn(usize) + Sync>(n: usize, width: usize, picos: usize, f: F) {
    pieces(n, rows_a_task(width), picos.saturating_mul(width), |start, end| {
        for row in start..end {
            f(row)
        }
    });
}
