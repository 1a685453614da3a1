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
            // Both arms of a rollout share a statement, which has the settings of each.
            && self.rollout() == insert.rollout()
            && self.new_session.in_two_steps == insert.new_session.in_two_steps
            && self.limit.counted == insert.limit.counted
            // Starts before and after midnight.
            && self.bounds.day_start == insert.bounds.day_start
            // The rows of a statement do not see each other, so a user's second start would pass the checks.
            && self.new_session.user.id != insert.new_session.user.id
    }

    /// Returns the proposal that rolls out, and its share in basis points.
    fn rollout(&self) -> Option<(Uuid, i32)> {
        self.new_session.arm.as_ref().map(|arm| (arm.proposal, arm.share_bp))
    }

    /// Returns the cooldown, which is the same for all rows of one arm, as the settings are.
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
    arms: Arms<'a>,
}

impl<'a> Group<'a> {
    /// Creates the group of `inserts`, one of which is `first`.
    fn new(first: &'a PlannedInsert, inserts: &'a [PlannedInsert]) -> Self {
        let (proposal, share_bp) = first.rollout().unzip();
        let mut arms = Arms { proposal, share_bp, ..Arms::default() };
        let columns = Columns::of(inserts, &mut arms);
        Self { first, columns, arms }
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
    /// The position of the arm's settings in [`Arms`], from 1, as Postgres counts.
    arms: Vec<i32>,
}

/// The settings of the arms in a group, as one array for each setting: one arm, or both arms of a rollout. A statement
/// for each arm would halve the groups, and starts would wait for twice as many statements.
#[derive(Default)]
struct Arms<'a> {
    /// The same for both arms, as is the share in basis points; `None` without a rollout.
    proposal: Option<Uuid>,
    share_bp: Option<i32>,
    are_candidates: Vec<Option<bool>>,
    prompt_ids: Vec<&'a str>,
    prompt_versions: Vec<&'a str>,
    models: Vec<&'a str>,
    session_max_minutes: Vec<i32>,
    max_today: Vec<i64>,
    cooldowns: Vec<TimeDelta>,
    durations: Vec<TimeDelta>,
}

impl<'a> Arms<'a> {
    /// Returns the position of the arm of `insert`, from 1; adds the arm if new.
    fn position(&mut self, insert: &'a PlannedInsert) -> i32 {
        let PlannedInsert { new_session, bounds, .. } = insert;
        let is_candidate = new_session.arm.as_ref().map(|arm| arm.is_candidate);
        let arm_index = self.are_candidates.iter().position(|arm| *arm == is_candidate);
        let index = arm_index.unwrap_or_else(|| {
            let settings = &new_session.settings;
            self.are_candidates.push(is_candidate);
            self.prompt_ids.push(&settings.prompt_id);
            self.prompt_versions.push(&settings.prompt_version);
            self.models.push(&settings.model);
            self.session_max_minutes.push(settings.session_max_minutes);
            self.max_today.push(bounds.max_today);
            self.cooldowns.push(insert.cooldown());
            self.durations.push(insert.duration());
            self.are_candidates.len() - 1
        });
        // At most two arms.
        i32::try_from(index + 1).unwrap_or_default()
    }
}

impl<'a> Columns<'a> {
    fn of(inserts: &'a [PlannedInsert], arms: &mut Arms<'a>) -> Self {
        let mut columns = Self::default();
        for insert in inserts {
            let PlannedInsert { new_session, .. } = insert;
            columns.arms.push(arms.position(insert));
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
