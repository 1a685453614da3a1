//! The most sessions at a time. Pure.

use chrono::{DateTime, Utc};

/// The beginnings and ends of sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    beginnings: Vec<i64>,
    ends: Vec<i64>,
}

impl Sessions {
    /// Adds a session.
    pub(super) fn push(&mut self, started_at: DateTime<Utc>, ended_at: DateTime<Utc>) {
        // A session without length is at no time beside another one.
        if ended_at > started_at {
            self.beginnings.push(started_at.timestamp_micros());
            self.ends.push(ended_at.timestamp_micros());
        }
    }

    /// Returns the greatest number of sessions that ran at one time.
    pub(super) fn peak(mut self) -> i64 {
        self.beginnings.sort_unstable();
        self.ends.sort_unstable();
        let mut ended = 0;
        let mut peak = 0;
        for (started, beginning) in (1..).zip(&self.beginnings) {
            // A session that ends when another begins does not run beside it.
            ended += self.ends[ended..].iter().take_while(|end| *end <= beginning).count();
            peak = peak.max(started - ended);
        }
        i64::try_from(peak).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn peak(sessions: &[(i64, i64)]) -> i64 {
        let minute = |minute| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let mut all = Sessions::default();
        for &(begin, end) in sessions {
            all.push(minute(begin), minute(end));
        }
        all.peak()
    }

    #[test]
    fn sessions_that_touch_do_not_overlap() {
        assert_eq!(peak(&[]), 0);
        assert_eq!(peak(&[(0, 0)]), 0);
        assert_eq!(peak(&[(0, 10), (10, 20)]), 1);
        assert_eq!(peak(&[(0, 10), (9, 20), (5, 6), (5, 30)]), 3);
    }

    proptest! {
        #[test]
        fn the_peak_is_the_greatest_number_at_any_minute(
            sessions in prop::collection::vec((0_i64..50, 0_i64..20), 0..40)
        ) {
            let sessions: Vec<_> = sessions.into_iter().map(|(begin, length)| (begin, begin + length)).collect();
            let running = |minute: i64| {
                sessions.iter().filter(|(begin, end)| *begin <= minute && minute < *end).count()
            };
            let expected = (0..70).map(running).max().unwrap();
            prop_assert_eq!(peak(&sessions), i64::try_from(expected).unwrap());
        }
    }
}
