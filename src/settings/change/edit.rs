//! A requested change and its options.

use crate::{database::OnSuccess, idempotency, json::StrictJson, settings::change::outcome::Error};

/// A requested value for one key, not validated yet.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The key to change.
    pub key: String,
    /// The new value.
    pub value: StrictJson,
    /// The expected current version of the key; optional when the expected revision is set.
    pub version: Option<i64>,
}

/// How a write of protected settings, or during a freeze, is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Approval {
    /// Not at all: protected settings are refused, and every setting in a freeze.
    #[default]
    None,
    /// In an emergency: recorded as an applied proposal that somebody else has to acknowledge.
    Emergency,
    /// By a proposal whose approvals have been checked under the lock; still refused in a freeze.
    Proposal,
    /// Like [`Proposal`](Self::Proposal), at the end of the rollout of the proposal.
    Promotion,
}

/// The options of a write, common to all kinds of writes.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the options are independent of each other")]
pub struct WriteOptions {
    /// The expected revisions, of which one must be current (`If-Match`).
    pub revisions: Option<Vec<i64>>,
    /// Leave out keys that cannot be written, and apply the rest (`Prefer: handling=lenient`).
    pub lenient: bool,
    /// Validate everything, store nothing.
    pub dry_run: bool,
    /// How the write is permitted.
    pub approval: Approval,
    /// The idempotency key of the request.
    pub idempotency: Option<idempotency::Key>,
    /// Whether the caller waits until every instance has applied the change.
    pub is_awaited: bool,
    /// Whether somebody else acts for the author: the token has an `act` claim.
    pub is_delegated: bool,
}

impl WriteOptions {
    /// Returns how a successful transaction of the write ends.
    #[must_use]
    pub fn on_success(&self) -> OnSuccess {
        if self.dry_run { OnSuccess::Rollback } else { OnSuccess::Commit }
    }

    /// Requires that the author acts in person. Otherwise one person could propose a change, or write in an emergency, in
    /// the name of another, and then approve or acknowledge the change.
    ///
    /// # Errors
    /// `Delegated`.
    pub(in crate::settings) fn require_person(&self) -> Result<(), Error> {
        if self.is_delegated { Err(Error::Delegated) } else { Ok(()) }
    }
}

/// Returns the bytes of `edits`, as an estimate of the work to check the edits.
pub(in crate::settings) fn size<'a>(edits: impl Iterator<Item = &'a Edit>) -> usize {
    edits.map(|edit| edit.key.len() + edit.value.size()).sum()
}
