//! The clock, the only reader of wall time, and jitter for pauses.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};
use rand::RngExt as _;

/// The clock of the system, or of a test.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only reader of wall time")]
        Self(Arc::new(Utc::now))
    }

    /// Returns a clock for tests, which the [`Shift`] moves ahead of the system's.
    #[must_use]
    pub fn shifted() -> (Self, Shift) {
        let shift = Shift::default();
        let offset = shift.clone();
        let system = Self::system();
        let clock = Self(Arc::new(move || {
            // Sequentially consistent: a test thread advances the clock of the server threads.
            system.now() + TimeDelta::milliseconds(offset.0.load(Ordering::SeqCst))
        }));
        (clock, shift)
    }

    /// Returns a clock that always shows `instant`.
    #[must_use]
    pub fn fixed(instant: DateTime<Utc>) -> Self {
        Self(Arc::new(move || instant))
    }

    /// Returns the time in microseconds, the precision of Postgres.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        // A stored time must equal the time in memory.
        let now = (self.0)();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// The offset of a shifted [`Clock`].
#[derive(Debug, Clone, Default)]
pub struct Shift(Arc<AtomicI64>);

impl Shift {
    /// Moves the clock forward by `by`.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

/// The nanoseconds of a leap second, which `chrono` counts as part of the second before.
const LEAP_SECOND: u32 = 1_000_000_000;

/// Parses an RFC 3339 time with an offset. Returns `None` for a malformed time, and for a time that is no RFC 3339 time
/// in UTC or that Postgres cannot store as it is: a year of more than four digits, or a leap second.
#[must_use]
pub fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    let is_portable = (0..=9999).contains(&time.year()) && time.nanosecond() < LEAP_SECOND;
    is_portable.then_some(time)
}

/// Multiplies `pause` by a random factor in `range`, so that retries of many callers spread out.
#[must_use]
pub fn jittered(pause: Duration, range: Range<f64>) -> Duration {
    // The generator is not `Send`, so it must not live across an `await` of the caller.
    pause.mul_f64(rand::rng().random_range(range))
}
