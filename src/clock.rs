//! The only reader of wall time. Everything else takes `now` as an argument.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};

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
