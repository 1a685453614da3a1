//! The newest change sets, in order and without a gap.

use std::{collections::VecDeque, sync::Arc};

use tracing::error;

use crate::settings::feed::{ChangeSet, FEED_CAPACITY, FeedItem};

/// Everything from the revision after `since` up to `newest`.
#[derive(Debug)]
pub(super) struct Ring {
    since: i64,
    newest: i64,
    timeline: Option<String>,
    /// Grows when the database's history became another one: a revision of before says nothing then.
    era: u64,
    held: VecDeque<(i64, Arc<str>)>,
}

impl Ring {
    /// One that still has to be filled, for a database at `revision`.
    pub(super) fn of(revision: i64, timeline: Option<String>) -> Self {
        let since = (revision - FEED_CAPACITY).max(0);
        Self { since, newest: since, timeline, era: 0, held: VecDeque::new() }
    }

    pub(super) fn era(&self) -> u64 {
        self.era
    }

    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// After which revision to read, to have all up to `revision` of `timeline`; `None` when all is there.
    pub(super) fn missing(&mut self, revision: i64, timeline: Option<String>) -> Option<i64> {
        if self.timeline != timeline || revision < self.newest {
            let era = self.era + 1;
            // What was committed on the other history is not told one by one.
            *self =
                Self { since: revision, newest: revision, timeline, era, held: VecDeque::new() };
        }
        (self.newest < revision).then(|| self.newest.max(revision - FEED_CAPACITY))
    }

    /// Takes in `sets`, all there are after `since` up to `newest`.
    pub(super) fn extend(&mut self, since: i64, newest: i64, sets: Vec<ChangeSet>) {
        if since != self.newest {
            self.held.clear();
            self.since = since;
        }
        for set in sets {
            match serde_json::to_string(&set) {
                Ok(json) => self.held.push_back((set.revision, json.into())),
                Err(err) => error!(error = %err, "a change set cannot be written"),
            }
        }
        self.newest = newest;
        let most = usize::try_from(FEED_CAPACITY).unwrap_or(usize::MAX);
        while most < self.held.len() {
            self.since = self.held.pop_front().map_or(self.since, |(revision, _)| revision);
        }
    }

    /// Whether what follows `revision` is no longer held.
    pub(super) fn is_gone(&self, revision: i64) -> bool {
        self.newest > revision && revision < self.since
    }

    /// What somebody hears next who knows everything up to `revision`.
    pub(super) fn after(&self, revision: i64) -> Option<FeedItem> {
        if self.newest <= revision {
            return None;
        }
        if self.is_gone(revision) {
            return Some(FeedItem::Resync(self.newest));
        }
        let at = self.held.partition_point(|(held, _)| *held <= revision);
        let (revision, json) = self.held.get(at)?;
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

    fn heard(told: Option<FeedItem>) -> Option<(&'static str, i64)> {
        Some(match told? {
            FeedItem::Start(revision) => ("start", revision),
            FeedItem::Change(revision, _) => ("change", revision),
            FeedItem::Resync(revision) => ("resync", revision),
        })
    }

    #[test]
    fn what_is_held_is_told_in_order_and_what_is_gone_is_a_resync() {
        let mut ring = Ring::of(3, None);
        assert_eq!(ring.missing(3, None), Some(0));
        ring.extend(0, 3, sets(1..=3));
        assert_eq!(heard(ring.after(0)), Some(("change", 1)));
        assert_eq!(heard(ring.after(2)), Some(("change", 3)));
        assert_eq!(heard(ring.after(3)), None);
        ring.extend(3, FEED_CAPACITY + 5, sets(4..=FEED_CAPACITY + 5));
        assert_eq!(heard(ring.after(4)), Some(("resync", FEED_CAPACITY + 5)));
        assert_eq!(heard(ring.after(5)), Some(("change", 6)));
    }

    #[test]
    fn a_leap_further_than_is_held_reads_only_what_is_held() {
        let mut ring = Ring::of(1, None);
        ring.extend(0, 1, sets(1..=1));
        assert_eq!(ring.missing(1_000, None), Some(1_000 - FEED_CAPACITY));
        ring.extend(1_000 - FEED_CAPACITY, 1_000, sets(1_001 - FEED_CAPACITY..=1_000));
        assert_eq!(heard(ring.after(1)), Some(("resync", 1_000)));
        assert_eq!(
            heard(ring.after(1_000 - FEED_CAPACITY)),
            Some(("change", 1_001 - FEED_CAPACITY))
        );
    }

    #[test]
    fn another_history_begins_another_era() {
        let mut ring = Ring::of(9, Some("1".to_owned()));
        ring.extend(0, 9, sets(1..=9));
        assert_eq!((ring.missing(9, Some("2".to_owned())), ring.era()), (None, 1));
        assert_eq!(heard(ring.after(4)), Some(("resync", 9)));
        assert_eq!((ring.missing(7, Some("2".to_owned())), ring.era()), (None, 2));
    }
}
