//! Every wait of the tests.
//!
//! A test waits for an event (a message, a notification, the end of a process), never for time to pass, and no
//! time decides whether it passes. What it waits for is a future where there is one; a state of another process is
//! polled, here and nowhere else. `tests/architecture/tests_laws.rs` holds all other files to this.

#![allow(dead_code, reason = "hardly a test binary uses all of it")]

use std::{
    future::Future,
    sync::mpsc,
    time::{Duration, Instant},
};

/// Ends a test that would otherwise hang for ever: the run would end without the name of the test and of what was
/// expected. It is no bar of speed: it is far beyond everything that a busy machine takes.
pub(crate) const HANG_LIMIT: Duration = Duration::from_mins(3);

/// How often a state is read. Short, because the sum over all tests counts.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Returns the output of `future`.
///
/// # Panics
///
/// Panics with `expected` after [`HANG_LIMIT`].
pub(crate) async fn no_hang<F: Future>(expected: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(HANG_LIMIT, future).await;
    output.unwrap_or_else(|_| panic!("hangs, expected: {expected}"))
}

/// Waits until `condition` holds: a state that another task, process or database session brings about.
///
/// # Panics
///
/// Panics with `expected` after [`HANG_LIMIT`].
pub(crate) async fn wait_until(expected: &str, mut condition: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    no_hang(expected, polled).await;
}

/// Returns the first value of `read`, for code without a runtime: a process that ends, a file that appears.
///
/// # Panics
///
/// Panics with `expected` after [`HANG_LIMIT`].
pub(crate) fn wait_for<T>(expected: &str, read: impl FnMut() -> Option<T>) -> T {
    wait_or_give_up(read).unwrap_or_else(|| panic!("hangs, expected: {expected}"))
}

/// The same for a clean-up in `drop`, where a panic would abort the run: returns `None` after [`HANG_LIMIT`].
pub(crate) fn wait_or_give_up<T>(mut read: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    while begin.elapsed() < HANG_LIMIT {
        let value = read();
        if value.is_some() {
            return value;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    None
}

/// Lets `duration` pass, as part of the scenario: a write that takes long, a connection that has stood for a while.
/// `reason` says why the time itself is needed; a state is waited for with [`wait_until`].
pub(crate) async fn let_time_pass(duration: Duration, reason: &str) {
    assert!(!reason.is_empty());
    tokio::time::sleep(duration).await;
}

/// A deadline to pass to a function of the crate.
pub(crate) fn deadline_after(duration: Duration) -> tokio::time::Instant {
    tokio::time::Instant::now() + duration
}

/// The next value of `receiver`; `None` when its sender is gone.
///
/// # Panics
///
/// Panics with `expected` after [`HANG_LIMIT`].
pub(crate) fn receive<T>(expected: &str, receiver: &mpsc::Receiver<T>) -> Option<T> {
    match receiver.recv_timeout(HANG_LIMIT) {
        Ok(value) => Some(value),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs, expected: {expected}"),
    }
}

/// Measures that something did **not** happen too early: a limit, a pause. A bound from above would fail on a busy
/// machine, so there is none.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Asserts that at least `duration` has passed.
    #[track_caller]
    pub(crate) fn assert_at_least(&self, duration: Duration) {
        let elapsed = self.0.elapsed();
        assert!(elapsed >= duration, "only {elapsed:?} passed, expected at least {duration:?}");
    }
}
