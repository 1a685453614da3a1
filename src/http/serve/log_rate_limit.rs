//! Rate limits for log lines about rejected requests.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
};

use governor::{DefaultDirectRateLimiter, Quota};
use tracing::info;

use crate::http::{auth::AuthError, problem::Problem};

/// The maximum number of lines of one kind.
const LINES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Logs failed authentications. Missing and invalid credentials have separate limits: a browser without a session must
/// not suppress the line about an invalid token.
#[derive(Debug, Default)]
pub(in crate::http) struct AuthFailureLog {
    missing: LogRateLimit,
    invalid: LogRateLimit,
}

impl AuthFailureLog {
    /// Logs the detail of `problem`, which repeats no credentials, within the limit.
    pub(in crate::http) fn log(&self, problem: &Problem) {
        let reason = problem.detail();
        let is_missing = reason == AuthError::NO_CREDENTIALS;
        let limit = if is_missing { &self.missing } else { &self.invalid };
        if let Some(suppressed) = limit.next() {
            info!(reason, suppressed, "authentication failed");
        }
    }
}

/// The rate limit of one kind of log line.
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
    /// Returns the number of lines suppressed since the previous line, or `None` if the next must be suppressed.
    pub(in crate::http) fn next(&self) -> Option<u64> {
        if self.limiter.check().is_err() {
            // Relaxed suffices: the counter guards no other memory.
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
    fn a_flood_is_logged_as_a_few_lines_and_a_count() {
        let limit = LogRateLimit::default();
        let logged = (0..1_000).filter(|_| limit.next().is_some()).count();
        assert!((30..60).contains(&logged), "{logged}");
        let suppressed = limit.suppressed.load(Ordering::Relaxed);
        assert_eq!(suppressed, 1_000 - u64::try_from(logged).unwrap());
    }
}
