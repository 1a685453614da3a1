//! The inserts of sessions: what one statement inserts, and which sessions can share a statement.

mod store;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

pub(super) use self::store::insert_if_eligible;
use crate::sessions::{eligibility::Bounds, session::NewSession};

/// The rate limit of a user's attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    /// Allowed attempts per minute.
    pub(super) per_minute: i64,
    /// Whether the current request is already counted.
    pub(super) counted: bool,
}

/// A session to insert if the rules allow the start.
#[derive(Debug, Clone)]
pub(super) struct PlannedInsert {
    pub(super) new_session: Arc<NewSession>,
    pub(super) bounds: Bounds,
    pub(super) limit: RateLimit,
}

impl PlannedInsert {
    /// Whether the two inserts can be in one statement.
    pub(super) fn can_share(&self, insert: &Self) -> bool {
        // The settings are read from one snapshot, so the revision stands for all values.
        self.new_session.settings.revision == insert.new_session.settings.revision
            && self.new_session.epoch == insert.new_session.epoch
            // The arms have different settings, which are parameters of the statement.
            && self.new_session.arm == insert.new_session.arm
            && self.new_session.in_two_steps == insert.new_session.in_two_steps
            && self.limit.counted == insert.limit.counted
            // Starts before and after midnight.
            && self.bounds.day_start == insert.bounds.day_start
            // The rows of a statement do not see each other, so a user's second start would pass the checks.
            && self.new_session.user.id != insert.new_session.user.id
    }

    /// Returns the cooldown, which is the same for all rows of a statement, as the settings are.
    fn cooldown(&self) -> TimeDelta {
        self.new_session.started_at - self.bounds.ended_by
    }

    /// Returns the maximum duration of the session, also the same for all rows.
    fn duration(&self) -> TimeDelta {
        self.new_session.expires_at - self.new_session.started_at
    }
}

/// Several inserts for one statement.
struct Group<'a> {
    /// Has the values that all rows share.
    first: &'a PlannedInsert,
    columns: Columns<'a>,
}

impl<'a> Group<'a> {
    /// Creates the group of `inserts`, one of which is `first`.
    fn new(first: &'a PlannedInsert, inserts: &'a [PlannedInsert]) -> Self {
        Self { first, columns: Columns::of(inserts) }
    }
}

/// The values of several inserts, as one array for each column.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    user_ids: Vec<&'a str>,
    plans: Vec<Option<&'a str>>,
    levels: Vec<Option<&'a str>>,
    started_at: Vec<DateTime<Utc>>,
    idempotency_keys: Vec<Option<&'a str>>,
    idempotency_digests: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    fn of(inserts: &'a [PlannedInsert]) -> Self {
        let mut columns = Self::default();
        for PlannedInsert { new_session, .. } in inserts {
            let (idempotency_key, idempotency_digest) = new_session.idempotency();
            columns.ids.push(new_session.id);
            columns.user_ids.push(new_session.user.id.as_str());
            columns.plans.push(new_session.user.plan.as_deref());
            columns.levels.push(new_session.user.level.as_deref());
            columns.started_at.push(new_session.started_at);
            columns.idempotency_keys.push(idempotency_key);
            columns.idempotency_digests.push(idempotency_digest);
        }
        columns
    }
}
