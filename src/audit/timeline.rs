//! How busy the trail was when: entries counted by time and kind.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{Filter, store},
    database::Connection,
};

/// Steps that people count in, in seconds: from a minute to a year.
const STEPS: [i64; 9] = [
    60,
    5 * 60,
    15 * 60,
    60 * 60,
    6 * 60 * 60,
    24 * 60 * 60,
    7 * 24 * 60 * 60,
    30 * 24 * 60 * 60,
    365 * 24 * 60 * 60,
];

/// How many steps there are at most, which is what one screen shows.
const BUCKETS: i64 = 120;

/// The entries of the trail, counted by when they were written.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryTimeline)]
pub struct Timeline {
    /// Where it begins: as asked for, or the oldest entry that fits; its end if none does.
    pub since: DateTime<Utc>,
    /// Where it ends: as asked for, or now, by the database's clock.
    pub until: DateTime<Utc>,
    /// How long a step is, in seconds: the shortest round one of which 120 are enough.
    pub step_seconds: i64,
    /// The steps with entries, oldest first; those without are left out.
    pub buckets: Vec<Bucket>,
}

/// The entries of one step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryBucket)]
pub struct Bucket {
    /// When it begins: a whole number of steps since 1970-01-01T00:00:00Z.
    pub start: DateTime<Utc>,
    /// How many entries there are of each action; those without any are left out.
    pub counts: BTreeMap<String, i64>,
}

/// Counts the entries that fit `filter`.
pub async fn timeline(conn: &mut Connection, filter: &Filter) -> sqlx::Result<Timeline> {
    let (oldest, now) = store::since(conn, filter).await?;
    let until = filter.until.unwrap_or(now);
    let since = filter.since.or(oldest).unwrap_or(until);
    let step_seconds = step(since, until);
    // What is written from here on is after the end that is told.
    let filter = Filter { since: Some(since), until: Some(until), ..filter.clone() };
    let counts = store::counts(conn, &filter, step_seconds).await?;
    let mut buckets: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (start, action, count) in counts {
        buckets.entry(start).or_default().insert(action, count);
    }
    let buckets = buckets.into_iter().map(|(start, counts)| Bucket { start, counts }).collect();
    Ok(Timeline { since, until, step_seconds, buckets })
}

/// The shortest step of which few enough reach from `since` to `until`, both included; of centuries the longest.
fn step(since: DateTime<Utc>, until: DateTime<Utc>) -> i64 {
    let steps = |step: i64| until.timestamp().div_euclid(step) - since.timestamp().div_euclid(step);
    let fits = |it: &i64| steps(*it) < BUCKETS;
    STEPS.into_iter().find(fits).unwrap_or(STEPS[STEPS.len() - 1])
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_step_is_the_shortest_that_needs_few_enough_buckets() {
        let start = DateTime::from_timestamp(1_763_769_600, 0).unwrap();
        for (length, expected) in [
            (TimeDelta::zero(), 60),
            (TimeDelta::minutes(-5), 60),
            (TimeDelta::minutes(119), 60),
            (TimeDelta::minutes(120), 5 * 60),
            (TimeDelta::hours(12), 15 * 60),
            (TimeDelta::hours(30), 60 * 60),
            (TimeDelta::days(5), 6 * 60 * 60),
            (TimeDelta::days(119), 24 * 60 * 60),
            (TimeDelta::days(365), 7 * 24 * 60 * 60),
            (TimeDelta::days(3_000), 30 * 24 * 60 * 60),
            (TimeDelta::days(10_000), 365 * 24 * 60 * 60),
            (TimeDelta::days(100_000), 365 * 24 * 60 * 60),
        ] {
            assert_eq!(step(start, start + length), expected, "{length}");
        }
        // Two hours, and 121 minutes that they touch.
        let late = start + TimeDelta::seconds(59);
        assert_eq!(step(late, late + TimeDelta::minutes(120)), 5 * 60);
        assert_eq!(step(late, late + TimeDelta::minutes(119)), 60);
    }
}
