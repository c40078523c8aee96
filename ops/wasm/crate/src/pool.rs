//! Work sharing between the calling thread and workers that live in `Pool::work`.
//!
//! A job is a number of tasks and a closure. Tasks are claimed one by one from a ticket that holds (epoch, next task)
//! in one atomic word, so a worker that wakes late can never claim from a job that is over: its exchange fails. The
//! caller takes part and waits only for tasks that were claimed, never for sleeping workers. How work is cut into tasks
//! depends on shapes alone, so results do not depend on the number of threads.
//!
//! The caller may have made the memory larger just before a job. A WebAssembly engine tells the other threads, but each takes
//! notice at its next check for interrupts, and an access before that traps. A worker that still sees the memory smaller
//! than the caller did leaves the job to the others.

#[cfg(any(target_feature = "atomics", not(target_arch = "wasm32")))]
mod shared {
    use crate::memory;
    use crate::waiting::{notify, wait};
    use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

    const CLOSED: u64 = u32::MAX as u64;
    /// Polls before sleeping: about 200 µs, longer than nearly every gap between two kernels of a training step.
    const SPINS: u32 = 100_000;

    /// A job's closure at an address, a task's number and a thread's: `trampoline` of the closure's type.
    type Call = unsafe fn(usize, usize, usize);

    /// What a calling thread and its workers share.
    pub struct Pool {
        workers: AtomicU32,
        ticket: AtomicU64,
        epoch: AtomicU32,
        sleeping: AtomicU32,
        call: AtomicUsize,
        data: AtomicUsize,
        tasks: AtomicU32,
        /// Of the memory, as the caller sees it.
        pages: AtomicUsize,
        done: AtomicU32,
        waiting: AtomicU32,
        stop: AtomicU32,
        failed: AtomicU32,
    }

    impl Pool {
        pub const fn new() -> Self {
            Pool {
                workers: AtomicU32::new(0),
                ticket: AtomicU64::new(CLOSED),
                epoch: AtomicU32::new(0),
                sleeping: AtomicU32::new(0),
                call: AtomicUsize::new(0),
                data: AtomicUsize::new(0),
                tasks: AtomicU32::new(0),
                pages: AtomicUsize::new(0),
                done: AtomicU32::new(0),
                waiting: AtomicU32::new(0),
                stop: AtomicU32::new(0),
                failed: AtomicU32::new(0),
            }
        }

        /// Claims and runs tasks of the open job until none is left.
        ///
        /// # Safety
        /// No other thread that takes part has the same number.
        unsafe fn drain(&self, thread: usize) {
            loop {
                let ticket = self.ticket.load(SeqCst);
                let next = ticket as u32;
                let tasks = self.tasks.load(SeqCst);
                let call = self.call.load(SeqCst);
                let data = self.data.load(SeqCst);
                if next == u32::MAX || next >= tasks || memory::pages() < self.pages.load(SeqCst) {
                    return;
                }
                if self.ticket.compare_exchange(ticket, ticket + 1, SeqCst, SeqCst).is_err() {
                    continue;
                }
                // SAFETY: the claim succeeded, so the ticket was that of the job whose words were read after it: `call` is
                // the trampoline of the closure at `data`, and `share` keeps that alive until the task is counted as done.
                unsafe {
                    let call: Call = core::mem::transmute(call);
                    call(data, next as usize, thread);
                }
                if self.done.fetch_add(1, SeqCst) + 1 == tasks && self.waiting.load(SeqCst) != 0 {
                    notify(&self.done, 1);
                }
            }
        }

        /// A worker's life: runs tasks until `stop`.
        ///
        /// # Safety
        /// No other worker of the pool has the same `thread`, and none has 0, which is the caller's.
        pub unsafe fn work(&self, thread: usize) {
            debug_assert!(thread > 0, "0 is the calling thread's number");
            self.workers.fetch_add(1, SeqCst);
            let mut seen = 0;
            while self.stop.load(SeqCst) == 0 {
                // SAFETY: the caller's promise.
                unsafe { self.drain(thread) };
                let mut spins = 0;
                loop {
                    let now = self.epoch.load(SeqCst);
                    if now != seen {
                        seen = now;
                        break;
                    }
                    spins += 1;
                    if spins > SPINS {
                        self.sleeping.fetch_add(1, SeqCst);
                        wait(&self.epoch, seen, None);
                        self.sleeping.fetch_sub(1, SeqCst);
                    }
                }
            }
        }

        pub fn stop(&self) {
            self.stop.store(1, SeqCst);
            self.epoch.fetch_add(1, SeqCst);
            notify(&self.epoch, u32::MAX);
        }

        /// Notes that a worker came to its end by an error.
        #[cfg(target_arch = "wasm32")]
        pub fn fail(&self) {
            self.failed.store(1, SeqCst);
        }

        pub fn workers(&self) -> usize {
            self.workers.load(SeqCst) as usize
        }

        pub fn share<F: Fn(usize, usize) + Sync>(&self, tasks: usize, f: &F) {
            let epoch = self.epoch.load(SeqCst).wrapping_add(1);
            self.ticket.store(((epoch as u64) << 32) | CLOSED, SeqCst);
            let call: Call = trampoline::<F>;
            self.call.store(call as usize, SeqCst);
            self.data.store(f as *const F as usize, SeqCst);
            self.tasks.store(tasks as u32, SeqCst);
            self.pages.store(memory::pages(), SeqCst);
            self.done.store(0, SeqCst);
            self.ticket.store((epoch as u64) << 32, SeqCst);
            self.epoch.store(epoch, SeqCst);
            if self.sleeping.load(SeqCst) != 0 {
                notify(&self.epoch, tasks as u32 - 1);
            }
            // SAFETY: 0 is the calling thread's number, and a pool has one caller.
            unsafe { self.drain(0) };
            let mut spins = 0;
            loop {
                let done = self.done.load(SeqCst);
                if done == tasks as u32 {
                    return;
                }
                spins += 1;
                if spins > SPINS {
                    assert!(self.failed.load(SeqCst) == 0, "a worker failed, with a task of this job in hand");
                    self.waiting.store(1, SeqCst);
                    // The limit of 1 ms covers a notification that came between the load and the store above.
                    wait(&self.done, done, Some(1_000_000));
                    self.waiting.store(0, SeqCst);
                }
            }
        }
    }

    /// # Safety
    /// A closure of this type lives at `data` while it runs.
    unsafe fn trampoline<F: Fn(usize, usize) + Sync>(data: usize, task: usize, thread: usize) {
        // SAFETY: the caller's promise; F is Sync, so that threads may share it.
        unsafe { (*(data as *const F))(task, thread) }
    }
}

#[cfg(not(any(target_feature = "atomics", not(target_arch = "wasm32"))))]
mod shared {
    pub struct Pool;
    impl Pool {
        pub const fn new() -> Self {
            Pool
        }
        /// # Safety
        /// None is needed: there is nothing to do.
        pub unsafe fn work(&self, _thread: usize) {}
        pub fn stop(&self) {}
        pub fn fail(&self) {}
        pub fn workers(&self) -> usize {
            0
        }
        pub fn share<F: Fn(usize, usize) + Sync>(&self, _tasks: usize, _f: &F) {}
    }
}

pub use shared::Pool;

/// The calling thread's pool: a module of WebAssembly has one caller, a library as many as call it.
#[cfg(target_arch = "wasm32")]
pub fn current() -> &'static Pool {
    static POOL: Pool = Pool::new();
    &POOL
}
#[cfg(not(target_arch = "wasm32"))]
pub use crate::threads::current;

/// Workers of the calling thread.
pub fn workers() -> usize {
    current().workers()
}

/// Work of a job, in rough nanoseconds on one core, below which waking others costs more than it saves.
const WORTH: usize = 20_000;

/// Runs `f(task, thread)` for every task. `cost` is the work of the whole job in rough nanoseconds.
pub fn run<F: Fn(usize, usize) + Sync>(tasks: usize, cost: usize, f: F) {
    let pool = current();
    if tasks > 1 && cost >= WORTH && pool.workers() > 0 {
        pool.share(tasks, &f);
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

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn every_task_runs_once_and_pieces_cover_the_whole() {
        for workers in [0, 3] {
            if workers > 0 {
                assert_eq!(crate::threads::start_workers(workers), 1);
            }
            let runs: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
            run(1000, WORTH, |task, thread| {
                assert!(thread <= workers);
                runs[task].fetch_add(1, SeqCst);
            });
            pieces(1000, 7, 1_000_000, |start, end| {
                assert!(start % 7 == 0 && end - start <= 7);
                for count in &runs[start..end] {
                    count.fetch_add(1, SeqCst);
                }
            });
            assert!(runs.iter().all(|count| count.load(SeqCst) == 2));
        }
        crate::threads::end_workers();
    }

    #[test]
    #[should_panic(expected = "the calling thread's number")]
    fn a_worker_with_the_callers_number_panics() {
        // SAFETY: it panics before it takes part.
        unsafe { Pool::new().work(0) };
    }
}
