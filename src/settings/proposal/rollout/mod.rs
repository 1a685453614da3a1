//! Rollouts: an approved change takes effect for a share of the users first, stage by stage, and is promoted to everybody
//! or reverted.
//!
//! Each step is a transaction under the lock of the head (`proposal/step.rs`). People take steps by
//! [`SettingsWriter::take_rollout_step`](crate::settings::SettingsWriter::take_rollout_step), the rule by
//! [`SettingsWriter::follow_rollout_rule`](crate::settings::SettingsWriter::follow_rollout_rule).

mod begin;
mod person;
mod rule;
mod take;
mod view;

pub(super) use begin::{begin, not_rollable, require_rollable};
pub use person::{PersonStep, RolloutAction};
pub use rule::{RolloutPosition, RuleOutcome, RuleStep};
pub use view::{HeldView, RolloutEnd, RolloutOutcome, RolloutView, begins_rollout, find_rollout};
