//! The steps of a rollout: a share of the users has the proposed values first.
//!
//! The state of a rollout is in columns of its proposal. The database enforces the order of the steps, sets times and the
//! salt, and appends an entry to the audit trail (`migrations/20261129190000_rollouts.sql`).

mod store;

pub use store::{
    CandidateSessions, RolloutStepRecord, advance_rollout, begin_rollout, candidate_sessions,
    hold_rollout, mark_reverted, resume_rollout, rolling_number,
};
