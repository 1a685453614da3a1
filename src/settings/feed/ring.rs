//! The ring of the newest change sets, in order and without gaps.

use std::{collections::VecDeque, sync::Arc};

use tracing::error;

use crate::settings::feed::item::{ChangeSet, FeedItem};

/// The number of change sets in the ring; a listener further behind has to reload everything.
pub const FEED_CAPACITY: i64 = 256;

/// All change sets after the revision `since`, up to `newest`.
#[derive(Debug)]
pub(super) struct Ring {
    since: i64,
    newest: i64,
    timeline: Option<String>,
    /// Incremented with each change of the timeline, after which earlier revisions mean nothing.
    epoch: u64,
    sets: VecDeque<(i64, Arc<str>)>,
}

impl Ring {
    /// Creates an empty ring for a database at `revision`, to be filled from the audit trail.
    pub(super) fn new(revision: i64, timeline: Option<String>) -> Self {
        let since = (revision - FEED_CAPACITY).max(0);
        Self { since, newest: since, timeline, epoch: 0, sets: VecDeque::new() }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// Returns the revision after which change sets up to `revision` of `timeline` are missing; `None` if complete.
    pub(super) fn missing_after(&mut self, revision: i64, timeline: Option<String>) -> Option<i64> {
        if self.timeline != timeline || revision < self.newest {
            let epoch = self.epoch + 1;
            // After a failover, the change sets of the lost timeline are not published one by one: listeners resync.
            *self =
                Self { since: revision, newest: revision, timeline, epoch, sets: VecDeque::new() };
        }
        // Older change sets would be evicted at once, so a long gap is not read completely.
        (revision > self.newest).then(|| self.newest.max(revision - FEED_CAPACITY))
    }

    /// Appends `sets`, all change sets after `since` up to `newest`.
    pub(super) fn extend(&mut self, since: i64, newest: i64, sets: Vec<ChangeSet>) {
        // A gap: the listeners in front of the gap have to resync.
        if since != self.newest {
            self.sets.clear();
            self.since = since;
        }
        for set in sets {
            match serde_json::to_string(&set) {
                // Serialized once, here, not once for each listener.
                Ok(json) => self.sets.push_back((set.revision, json.into())),
                // Skipped, because a retry would fail again and block later change sets.
                Err(err) => error!(error = %err, "a change set could not be serialized"),
            }
        }
        self.newest = newest;
        let capacity = usize::try_from(FEED_CAPACITY).unwrap_or(usize::MAX);
        while self.sets.len() > capacity {
            self.since = self.sets.pop_front().map_or(self.since, |(revision, _)| revision);
        }
    }

    /// Whether change sets after `revision` were evicted.
    pub(super) fn is_evicted(&self, revision: i64) -> bool {
        revision < self.newest && revision < self.since
    }

    /// Returns the item after `revision`; `None` if `revision` is the newest.
    pub(super) fn next(&self, revision: i64) -> Option<FeedItem> {
        if revision >= self.newest {
            return None;
        }
        if self.is_evicted(revision) {
            return Some(FeedItem::Resync(self.newest));
        }
        let position = self.sets.partition_point(|(published, _)| *published <= revision);
        let (revision, json) = self.sets.get(position)?;
        Some(FeedItem::Change(*revision, Arc::clone(json)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn sets(revisions: std::ops::RangeInclusive<i64>) -> Vec<ChangeSet> {
        let set = |revision| ChangeSet {
            revision,
            keys: vec!["KEY".to_owned()],
            truncated: false,
            action: "update".to_owned(),
            changed_by: "ada".to_owned(),
            reason: "a test".to_owned(),
            request_id: String::new(),
            changed_at: DateTime::UNIX_EPOCH,
        };
        revisions.map(set).collect()
    }

    fn summary(item: Option<FeedItem>) -> Option<(&'static str, i64)> {
        Some(match item? {
            FeedItem::Start(revision) => ("start", revision),
            FeedItem::Change(revision, _) => ("change", revision),
            FeedItem::Resync(revision) => ("resync", revision),
        })
    }

    #[test]
    fn changes_are_published_in_order_and_evicted_ones_cause_a_resync() {
        let mut ring = Ring::new(3, None);
        assert_eq!(ring.missing_after(3, None), Some(0));
        ring.extend(0, 3, sets(1..=3));
        assert_eq!(summary(ring.next(0)), Some(("change", 1)));
        assert_eq!(summary(ring.next(2)), Some(("change", 3)));
        assert_eq!(summary(ring.next(3)), None);
        ring.extend(3, FEED_CAPACITY + 5, sets(4..=FEED_CAPACITY + 5));
        assert_eq!(summary(ring.next(4)), Some(("resync", FEED_CAPACITY + 5)));
        assert_eq!(summary(ring.next(5)), Some(("change", 6)));
    }

    #[test]
    fn a_leap_beyond_the_capacity_reads_only_the_capacity() {
        let mut ring = Ring::new(1, None);
        ring.extend(0, 1, sets(1..=1));
        assert_eq!(ring.missing_after(1_000, None), Some(1_000 - FEED_CAPACITY));
        ring.extend(1_000 - FEED_CAPACITY, 1_000, sets(1_001 - FEED_CAPACITY..=1_000));
        assert_eq!(summary(ring.next(1)), Some(("resync", 1_000)));
        assert_eq!(
            summary(ring.next(1_000 - FEED_CAPACITY)),
            Some(("change", 1_001 - FEED_CAPACITY))
        );
    }

    #[test]
    fn another_timeline_begins_another_epoch() {
        let mut ring = Ring::new(9, Some("1".to_owned()));
        ring.extend(0, 9, sets(1..=9));
        assert_eq!((ring.missing_after(9, Some("2".to_owned())), ring.epoch()), (None, 1));
        assert_eq!(summary(ring.next(4)), Some(("resync", 9)));
        assert_eq!((ring.missing_after(7, Some("2".to_owned())), ring.epoch()), (None, 2));
    }
}
