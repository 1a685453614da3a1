//! One change set: the requested edits, the checks before and under the lock, and the result.
//!
//! Most changes are checked in memory and stored by one statement (`checked.rs`), which stores nothing if the settings
//! changed meanwhile. All others are checked and stored step by step under the lock (`apply.rs`).

mod apply;
mod approval;
mod checked;
mod edit;
mod message;
mod outcome;
mod related;
mod resolve;
mod rollout;
mod secrets;
mod store;

pub(super) use apply::{Batch, apply, check, current_entries, lock, version_conflicts};
pub(super) use approval::{check as check_approval, record_emergency};
pub(super) use checked::{CheckedChange, Committed};
pub(super) use edit::size;
pub use edit::{Approval, Edit, WriteOptions};
pub(super) use message::{
    EmergencyMessage, MAX_KEYS, bounded_json, enqueue_changed, enqueue_emergency,
    enqueue_emergency_alert, enqueue_refused, text_json,
};
pub use outcome::{ChangeResult, Conflict, Error, KeyChange, ProtectedKey, SecretMatches};
pub(super) use related::check_related;
pub(super) use resolve::{ResolvedEdit, resolve};
pub(super) use rollout::{
    current_rollout, enqueue_rollout_moved, proposed_values, rollout_problems,
};
pub(super) use secrets::{UNDECLARED, keys_to_record, public_name, scan, scan_values};
pub(super) use store::announce_waiter;
