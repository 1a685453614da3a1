//! The window of a what-if. Pure.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::sessions::refusal::RETENTION_DAYS;

/// The length of a window without a beginning.
const DEFAULT_LENGTH: TimeDelta = TimeDelta::days(1);

/// Clocks differ, and a request takes time: a beginning "8 days ago" is a little earlier when it arrives.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The requested window of time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Period {
    /// The beginning; by default a day before the end.
    pub since: Option<DateTime<Utc>>,
    /// The end; by default now.
    pub until: Option<DateTime<Utc>>,
}

/// Why a window is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} {detail}")]
pub struct InvalidPeriod {
    /// `since` or `until`.
    pub field: &'static str,
    /// What is wrong.
    pub detail: &'static str,
}

/// The window of the replayed attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    /// Earlier sessions count if they ended later, or started later than `day_start`.
    pub(super) ended_since: DateTime<Utc>,
    pub(super) day_start: DateTime<Utc>,
    /// Sessions that started earlier are not read.
    pub(super) read_since: DateTime<Utc>,
}

impl Window {
    /// Validates `period` at `now`.
    pub(super) fn new(period: &Period, now: DateTime<Utc>) -> Result<Self, InvalidPeriod> {
        let invalid = |field, detail| Err(InvalidPeriod { field, detail });
        let until = period.until.unwrap_or(now).min(now);
        let since = period.since.unwrap_or_else(|| until - DEFAULT_LENGTH);
        if since >= now {
            return invalid("since", "must be in the past");
        }
        if since < now - TimeDelta::days(RETENTION_DAYS.into()) - TOLERANCE {
            return invalid(
                "since",
                "must be within the last 8 days: refused starts are kept no longer",
            );
        }
        if until <= since {
            return invalid("until", "must be later than `since`");
        }
        Ok(Self { since, until, now, ended_since: since, day_start: since, read_since: since })
    }

    /// Begins at `since`, and includes earlier sessions that count with a cooldown of up to `cooldown_minutes`.
    pub(super) fn with_history(self, since: DateTime<Utc>, cooldown_minutes: i64) -> Self {
        // Beyond a month no cooldown of a user matters, and the difference must not overflow.
        let cooldown = TimeDelta::minutes(cooldown_minutes.clamp(0, 31 * 24 * 60));
        let ended_since = since - cooldown;
        let day_start = since.date_naive().and_time(NaiveTime::MIN).and_utc();
        // A session that ended within the cooldown started at most a day before: sessions last minutes.
        let read_since = day_start.min(ended_since - TimeDelta::days(1));
        Self { since, ended_since, day_start, read_since, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn window(since: Option<&str>, until: Option<&str>) -> Result<Window, InvalidPeriod> {
        let period = Period { since: since.map(time), until: until.map(time) };
        Window::new(&period, time("2026-11-29T12:00:00Z"))
    }

    #[test]
    fn the_last_day_is_the_default() {
        let window = window(None, None).unwrap();
        assert_eq!(window.since, time("2026-11-28T12:00:00Z"));
        assert_eq!(window.until, time("2026-11-29T12:00:00Z"));
    }

    #[test]
    fn a_window_ends_now_at_the_latest_and_begins_within_eight_days() {
        assert_eq!(window(None, Some("2027-01-01T00:00:00Z")), window(None, None));
        let field = |since, until| window(since, until).map_err(|invalid| invalid.field);
        assert!(field(Some("2026-11-21T12:00:00Z"), None).is_ok());
        assert_eq!(field(Some("2026-11-21T11:54:00Z"), None), Err("since"));
        assert_eq!(field(Some("2026-11-29T12:00:00Z"), None), Err("since"));
        assert_eq!(field(None, Some("2026-11-20T12:00:00Z")), Err("since"));
        let since = Some("2026-11-29T11:00:00Z");
        assert_eq!(field(since, Some("2026-11-29T11:00:00Z")), Err("until"));
        assert_eq!(field(since, Some("2026-11-29T10:00:00Z")), Err("until"));
    }

    #[test]
    fn the_history_covers_the_day_and_the_cooldown() {
        let window = window(None, None).unwrap();
        let history = window.with_history(window.since, 240);
        assert_eq!(history.ended_since, time("2026-11-28T08:00:00Z"));
        assert_eq!(history.day_start, time("2026-11-28T00:00:00Z"));
        assert_eq!(history.read_since, time("2026-11-27T08:00:00Z"));
        assert!(window.with_history(window.since, i64::MAX).read_since < history.read_since);
    }
}
