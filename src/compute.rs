//! Work that is heavy on the processor, kept off the threads that serve everybody else.
//!
//! The runtime has one worker thread for each processor. A worker that parses a megabyte, or checks ten thousand
//! values, answers no other request until it is done. Such work runs here: the worker hands its other tasks to
//! another thread first, and few run at a time, so that short requests always find a processor.

use std::{sync::LazyLock, thread};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
    task::block_in_place,
};

/// Bytes of input up to which work stays on its worker: it takes about a millisecond at most, and most requests have
/// less than a hundredth of this.
pub const SMALL: usize = 32 * 1024;

/// For work; half of the processors, so that the other half serves small requests.
static COMPUTE_PERMITS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(half_of_processors()));

/// For requests that read a great deal from the database: the driver reads rows on a worker, and the connections of the
/// pool are for all.
static READ_PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(half_of_processors()));

/// At least one.
fn half_of_processors() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

/// Waits for a permit to read about so many `bytes` from the database; dropping it returns it. Reading few bytes needs
/// none.
pub async fn read_permit(bytes: usize) -> Option<SemaphorePermit<'static>> {
    if bytes <= SMALL {
        return None;
    }
    READ_PERMITS.acquire().await.ok()
}

/// Runs `work`, which goes through `bytes` of input: at once if that is little, else off the runtime's workers and
/// in the order of arrival.
pub async fn run<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes <= SMALL {
        return work();
    }
    // The semaphore is never closed.
    let _permit = COMPUTE_PERMITS.acquire().await.ok();
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // A runtime of one thread, as in tests, has no other thread to hand its tasks to.
        _ => work(),
    }
}
