//! Counts entries by time and action.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{entry::Filter, page::store},
    database::Connection,
};

/// Bucket lengths in seconds, from a minute to a year.
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

/// The maximum number of buckets, which fit on a screen.
const MAX_BUCKETS: i64 = 120;

/// The number of entries over time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryTimeline)]
pub struct Timeline {
    /// The start: as requested, or the time of the oldest matching entry; equals the end if no entry matches.
    pub since: DateTime<Utc>,
    /// The end: as requested, or now, by the database's clock.
    pub until: DateTime<Utc>,
    /// The length of a bucket in seconds: the shortest round length for at most 120 buckets.
    pub step_seconds: i64,
    /// The buckets with entries, oldest first; empty buckets are omitted.
    pub buckets: Vec<Bucket>,
}

/// The entries of one bucket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryBucket)]
pub struct Bucket {
    /// The start: a multiple of the bucket length since 1970-01-01T00:00:00Z.
    pub start: DateTime<Utc>,
    /// The number of entries by action; actions without entries are omitted.
    pub counts: BTreeMap<String, i64>,
}

/// Counts the entries that match `filter`.
pub async fn timeline(conn: &mut Connection, filter: &Filter) -> sqlx::Result<Timeline> {
    let (oldest, now) = store::since(conn, filter).await?;
    let until = filter.until.unwrap_or(now);
    let since = filter.since.or(oldest).unwrap_or(until);
    let step_seconds = step(since, until);
    // Entries added from here on are after the reported end.
    let filter = Filter { since: Some(since), until: Some(until), ..filter.clone() };
    let counts = store::counts(conn, &filter, step_seconds).await?;
    // The rows are unordered; the map sorts buckets and actions.
    let mut buckets: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (start, action, count) in counts {
        buckets.entry(start).or_default().insert(action, count);
    }
    let buckets = buckets.into_iter().map(|(start, counts)| Bucket { start, counts }).collect();
    Ok(Timeline { since, until, step_seconds, buckets })
}

/// Returns the shortest length with few enough buckets from `since` to `until`, both inclusive, or the longest.
fn step(since: DateTime<Utc>, until: DateTime<Utc>) -> i64 {
    // Euclidean division also aligns times before 1970 to the buckets of `date_bin`.
    let steps = |step: i64| until.timestamp().div_euclid(step) - since.timestamp().div_euclid(step);
    // `<`, because both ends belong to a bucket: n steps touch n + 1 buckets.
    let fits = |step: &i64| steps(*step) < MAX_BUCKETS;
    STEPS.into_iter().find(fits).unwrap_or(STEPS[STEPS.len() - 1])
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn the_shortest_step_with_few_enough_buckets_is_chosen() {
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
        // Two hours that touch 121 minutes.
        let late = start + TimeDelta::seconds(59);
        assert_eq!(step(late, late + TimeDelta::minutes(120)), 5 * 60);
        assert_eq!(step(late, late + TimeDelta::minutes(119)), 60);
    }
}
