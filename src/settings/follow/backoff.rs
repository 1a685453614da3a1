//! Backoff between attempts to open a connection.

use std::{ops::Range, time::Duration};

use tokio::time::Instant;

use crate::clock::jittered;

/// Full jitter: after an outage, the instances must not reconnect all at once.
const FULL_JITTER: Range<f64> = 0.0..1.0;

/// Exponential backoff, reset by a connection open for longer than the last pause.
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    jitter: Range<f64>,
    /// The last pause, without jitter.
    last: Option<Duration>,
    opened_at: Option<Instant>,
}

impl Backoff {
    /// Creates the backoff of a connection lost from time to time.
    pub(super) fn of_reconnects() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5), FULL_JITTER)
    }

    /// Creates a backoff with pauses from `first` to `max`, each multiplied by a random number in `jitter`.
    pub(super) fn new(first: Duration, max: Duration, jitter: Range<f64>) -> Self {
        Self { first, max, jitter, last: None, opened_at: None }
    }

    /// Records that the connection is open.
    pub(super) fn record_open(&mut self) {
        self.opened_at = Some(Instant::now());
    }

    /// Returns the next pause.
    pub(super) fn next_pause(&mut self) -> Duration {
        // Taken, so a failed attempt counts as no uptime and the pauses keep growing.
        let uptime = self.opened_at.take().map_or(Duration::ZERO, |opened_at| opened_at.elapsed());
        jittered(self.pause_after(uptime), self.jitter.clone())
    }

    /// Returns the pause after a connection that was open for `uptime`, before jitter.
    fn pause_after(&mut self, uptime: Duration) -> Duration {
        let pause = match self.last {
            // Broken soon after the opening: without backoff the attempts would follow each other without limit.
            Some(last) if uptime < last => (last * 2).min(self.max),
            _ => self.first,
        };
        self.last = Some(pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(uptimes: &[u64]) -> Vec<u64> {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), FULL_JITTER);
        let pause = |uptime: &u64| backoff.pause_after(Duration::from_secs(*uptime)).as_secs();
        uptimes.iter().map(pause).collect()
    }

    #[test]
    fn pauses_double_up_to_the_maximum() {
        assert_eq!(pauses(&[0, 0, 0, 0, 0]), [1, 2, 4, 5, 5]);
    }

    #[test]
    fn only_a_connection_that_outlasts_the_pause_resets_the_pause() {
        assert_eq!(pauses(&[0, 0, 1, 4, 0]), [1, 2, 4, 1, 2]);
    }
}
