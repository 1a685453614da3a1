//! The notifications that arrived since the last reload, reduced to what the next reload needs.

use crate::settings::notification::{NotificationKey, NotifiedChange, Payload};

/// The most changes of a batch. With more, the database is read: every login may notify, as often as the login likes, and
/// a batch must not grow with the number of notifications.
const MAX_CHANGES: usize = 32;

/// The most notifications of a batch, so that a flood does not delay the reload.
const MAX_NOTIFICATIONS: usize = 1_000;

/// Pending notifications.
#[derive(Debug)]
pub(super) struct Batch {
    /// In the order of the commits. Empty if `needs_read`.
    changes: Vec<NotifiedChange>,
    /// Whether the changes do not suffice, and the database has to be read.
    needs_read: bool,
    has_unreadable: bool,
    count: usize,
}

impl Batch {
    /// Creates an empty batch; with `needs_read`, the database is read whatever arrives.
    pub(super) fn new(needs_read: bool) -> Self {
        Self { changes: Vec::new(), needs_read, has_unreadable: false, count: 0 }
    }

    /// Adds a notification. Without `key`, every notification is only a hint.
    pub(super) fn add(&mut self, payload: &str, key: Option<&NotificationKey>) {
        self.count += 1;
        // One read covers all: the content matters no more, except for a sign of another key.
        if self.needs_read {
            self.has_unreadable |= key.is_none() && Payload::has_content(payload);
            return;
        }
        let payload = match key {
            Some(key) => key.open(payload),
            None if Payload::has_content(payload) => Payload::Unreadable,
            None => Payload::Hint,
        };
        match payload {
            Payload::Change(change) if self.changes.len() < MAX_CHANGES => {
                self.changes.push(change);
            }
            Payload::Change(_) | Payload::Hint => self.require_read(),
            Payload::Unreadable => {
                self.has_unreadable = true;
                self.require_read();
            }
        }
    }

    fn require_read(&mut self) {
        self.needs_read = true;
        self.changes = Vec::new();
    }

    /// Whether the batch takes no further notification.
    pub(super) fn is_full(&self) -> bool {
        self.count >= MAX_NOTIFICATIONS
    }

    /// Whether a notification could not be decrypted.
    pub(super) fn has_unreadable(&self) -> bool {
        self.has_unreadable
    }

    /// Returns the changes, in the order of the commits; `None` if the database has to be read.
    pub(super) fn into_changes(self) -> Option<Vec<NotifiedChange>> {
        (!self.needs_read).then_some(self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(payloads: impl Iterator<Item = String>) -> Batch {
        let mut batch = Batch::new(false);
        let key = NotificationKey::new(&[7; 64]);
        for payload in payloads {
            batch.add(&payload, key.as_ref());
        }
        batch
    }

    #[test]
    fn a_flood_of_notifications_is_not_kept() {
        let key = NotificationKey::new(&[7; 64]).unwrap();
        let change = |revision: usize| key.payload_of(revision, &"x".repeat(5_000));
        let few = batch((1..=MAX_CHANGES).map(change));
        assert!(!few.is_full());
        assert_eq!(few.into_changes().unwrap().len(), MAX_CHANGES);
        let many = batch((1..=MAX_NOTIFICATIONS).map(change));
        assert!(many.is_full());
        assert_eq!((many.changes.capacity(), many.has_unreadable()), (0, false));
        assert!(many.into_changes().is_none());
    }

    #[test]
    fn an_unreadable_notification_requires_a_read() {
        let unreadable = batch(["2 AAAA".to_owned()].into_iter());
        assert!(unreadable.has_unreadable());
        assert!(unreadable.into_changes().is_none());
        let mut without_key = Batch::new(false);
        without_key.add("2", None);
        assert!(!without_key.has_unreadable());
        without_key.add("3 AAAA", None);
        assert!(without_key.has_unreadable());
    }
}
