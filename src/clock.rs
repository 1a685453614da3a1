//! The only reader of wall time; everything else takes `now` as an argument. And pauses that do not fall together.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt as _;

/// Where the time comes from: the system, or a test.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
        Self(Arc::new(Utc::now))
    }

    /// The system's clock moved by what the [`Shift`] says, and the handle that moves it. For tests.
    #[must_use]
    pub fn shifted() -> (Self, Shift) {
        let shift = Shift::default();
        let (held, system) = (shift.clone(), Self::system());
        let clock = Self(Arc::new(move || {
            system.now() + TimeDelta::milliseconds(held.0.load(Ordering::SeqCst))
        }));
        (clock, shift)
    }

    /// A clock that always shows `instant`.
    #[must_use]
    pub fn fixed(instant: DateTime<Utc>) -> Self {
        Self(Arc::new(move || instant))
    }

    /// The time, to the microsecond that Postgres stores.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let now = (self.0)();
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// How far a shifted [`Clock`] is ahead of the system's.
#[derive(Debug, Clone, Default)]
pub struct Shift(Arc<AtomicI64>);

impl Shift {
    /// Moves the clock on by `by`.
    pub fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

/// `pause` times something in `range`, so that those who began together do not go on together. A function of its
/// own, because the generator must not live over an `await`.
#[must_use]
pub fn jittered(pause: Duration, range: Range<f64>) -> Duration {
    pause.mul_f64(rand::rng().random_range(range))
}
