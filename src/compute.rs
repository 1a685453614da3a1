//! Runs CPU-bound work off the threads that serve other requests.
//!
//! The runtime has one worker thread for each processor. A worker that parses a megabyte, or checks ten thousand
//! values, answers no other request meanwhile. Here the worker first hands its other tasks to another thread, and only a
//! few jobs run at a time, so that short requests always find a processor.

use std::{sync::LazyLock, thread};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
    task::block_in_place,
};

/// The most bytes of input that are processed on the worker. The work takes about a millisecond, and most requests have
/// less than a hundredth of the limit.
pub const INLINE_BYTES: usize = 32 * 1024;

/// Permits for work on half of the processors; the other half serves small requests.
static COMPUTE_PERMITS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(half_of_processors()));

/// Permits for large reads from the database: the driver decodes rows on a worker, and holds a connection of the pool.
static READ_PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(half_of_processors()));

fn half_of_processors() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

/// Waits for a permit to read about `bytes` from the database. Small reads need no permit.
pub async fn read_permit(bytes: usize) -> Option<SemaphorePermit<'static>> {
    if bytes <= INLINE_BYTES {
        return None;
    }
    READ_PERMITS.acquire().await.ok()
}

/// Runs `work` on `bytes` of input: small input at once, large input off the runtime's workers in order of arrival.
pub async fn run<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= INLINE_BYTES {
        return work();
    }
    // The semaphore is never closed.
    let _permit = COMPUTE_PERMITS.acquire().await.ok();
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // The single-threaded runtime of tests has no other thread to hand tasks to.
        _ => work(),
    }
}
