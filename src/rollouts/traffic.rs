//! The traffic of the last week, continued beyond the end of the week.

use crate::rollouts::plan::Guard;

/// The hours whose mean continues the recorded traffic.
const RECENT_HOURS: usize = 24;

/// The traffic of the last week.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The users by the hour of the first start or refusal in the period, in the order of time. A returning user does
    /// not count again: a stage counts distinct users.
    pub new_users: Vec<u32>,
    /// Users who failed in the period, by guard.
    pub failing_users: Vec<(Guard, u32)>,
}

/// The number of distinct users over time.
pub(super) struct Arrivals {
    /// The users until the end of each recorded hour.
    until: Vec<f64>,
    /// New users in an hour after the recorded hours.
    later_per_hour: f64,
}

impl Arrivals {
    pub(super) fn of(traffic: &Traffic) -> Self {
        let mut total = 0.0;
        let until = traffic.new_users.iter().map(|users| {
            total += f64::from(*users);
            total
        });
        let until = until.collect();
        let recent =
            traffic.new_users.iter().rev().take(RECENT_HOURS).map(|users| f64::from(*users));
        let hours: f64 = recent.clone().map(|_| 1.0).sum();
        let later_per_hour = recent.sum::<f64>() / hours.max(1.0);
        Self { until, later_per_hour }
    }

    /// Returns all recorded users.
    pub(super) fn total(&self) -> f64 {
        self.until.last().copied().unwrap_or(0.0)
    }

    /// Returns the hours until `users` distinct users have come; `None` if so many never come.
    pub(super) fn hours_until(&self, users: f64) -> Option<f64> {
        let mut before = 0.0;
        let mut hours = 0.0;
        // Users within an hour come evenly.
        for until in &self.until {
            if *until >= users {
                return Some(hours + (users - before) / (until - before).max(f64::MIN_POSITIVE));
            }
            before = *until;
            hours += 1.0;
        }
        (self.later_per_hour > 0.0).then(|| hours + (users - before) / self.later_per_hour)
    }

    /// Returns the distinct users who come within `hours`.
    pub(super) fn users_within(&self, hours: f64) -> f64 {
        let mut before = 0.0;
        let mut hours_left = hours.max(0.0);
        for until in &self.until {
            if hours_left < 1.0 {
                return before + (until - before) * hours_left;
            }
            before = *until;
            hours_left -= 1.0;
        }
        before + hours_left * self.later_per_hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(new_users: &[u32]) -> Arrivals {
        Arrivals::of(&Traffic { new_users: new_users.to_vec(), failing_users: Vec::new() })
    }

    #[test]
    fn users_come_evenly_within_an_hour() {
        let arrivals = arrivals(&[10, 0, 40]);
        for (users, hours) in [(0.0, 0.0), (5.0, 0.5), (10.0, 1.0), (20.0, 2.25), (50.0, 3.0)] {
            assert_eq!(arrivals.hours_until(users), Some(hours), "{users} users");
        }
        for (hours, users) in [(-1.0, 0.0), (0.5, 5.0), (1.0, 10.0), (2.0, 10.0), (2.25, 20.0)] {
            assert_eq!(
                arrivals.users_within(hours).to_string(),
                users.to_string(),
                "{hours} hours"
            );
        }
    }

    #[test]
    fn later_hours_are_like_the_mean_of_the_last_24() {
        let mut new_users = vec![1_000; 10];
        new_users.extend([6; 24]);
        let arrivals = arrivals(&new_users);
        assert_eq!(arrivals.hours_until(10_144.0 + 12.0), Some(36.0));
        assert_eq!(arrivals.users_within(36.0).to_string(), "10156");
    }

    #[test]
    fn without_recent_users_the_rest_never_comes() {
        let mut new_users = vec![10];
        new_users.extend([0; 24]);
        assert_eq!(arrivals(&new_users).hours_until(10.5), None);
        assert_eq!(arrivals(&new_users).hours_until(10.0), Some(1.0));
        assert_eq!(arrivals(&[]).hours_until(1.0), None);
        assert_eq!(arrivals(&[]).users_within(9.0).to_string(), "0");
    }
}
