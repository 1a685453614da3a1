//! The log lines of requests that are refused: few of them, however many requests there are.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use governor::{DefaultDirectRateLimiter, Quota};
use tracing::info;

use crate::http::{auth::Refusal, problem::Problem};

/// Most lines in a minute of one kind.
const LINES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Logs which check failed. Requests without credentials have a limit of their own: a browser that is not signed in
/// must not suppress the line about a token that is wrong.
#[derive(Debug, Default)]
pub(in crate::http) struct RefusalLog {
    absent: LogRateLimit,
    wrong: LogRateLimit,
}

impl RefusalLog {
    /// Logs the detail of `problem`, which repeats nothing of the credentials, unless too many were logged before.
    pub(in crate::http) fn log(&self, problem: &Problem) {
        let reason = problem.detail();
        let lines = if reason == Refusal::NO_CREDENTIALS { &self.absent } else { &self.wrong };
        if let Some(suppressed) = lines.next() {
            info!(reason, suppressed, "not authorized");
        }
    }
}

/// Limits the log lines of one kind.
#[derive(Debug)]
pub(in crate::http) struct LogRateLimit {
    limiter: DefaultDirectRateLimiter,
    suppressed: AtomicU64,
}

impl Default for LogRateLimit {
    fn default() -> Self {
        let limiter = DefaultDirectRateLimiter::direct(Quota::per_minute(LINES_PER_MINUTE));
        Self { limiter, suppressed: AtomicU64::new(0) }
    }
}

impl LogRateLimit {
    /// How many lines were suppressed since the last one, if the next may be logged.
    pub(in crate::http) fn next(&self) -> Option<u64> {
        if self.limiter.check().is_err() {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let lines = LogRateLimit::default();
        let logged = (0..1_000).filter(|_| lines.next().is_some()).count();
        assert!((30..60).contains(&logged), "{logged}");
        let counted = lines.suppressed.load(Ordering::Relaxed);
        assert_eq!(counted, 1_000 - u64::try_from(logged).unwrap());
    }
}
