//! Proposals: change sets that other people approve, or that wait for their time.
//!
//! Every step locks the head first, so the steps of all proposals and all writes are serialized. A proposal is applied
//! by the write path of every change (`change/apply.rs`), and the database checks the approvals again at the commit.

mod apply;
mod blocks;
mod decide;
mod draft;
mod due;
mod error;
mod freeze;
mod message;
mod remind;
mod rollout;
mod step;
mod view;

pub use blocks::Block;
pub use decide::{EditionId, NewVerdict};
pub use draft::ProposalChange;
pub use due::{DueOutcome, apply_due, apply_due_proposals};
pub use error::Error;
pub use remind::remind_of_emergencies;
pub use rollout::{
    HeldView, PersonStep, RolloutAction, RolloutEnd, RolloutOutcome, RolloutPosition, RolloutView,
    RuleOutcome, RuleStep, begins_rollout, find_rollout,
};
pub use step::Person;
pub use view::{Overlap, ProposalView, ProposedChange, find_proposal};
