//! The records of proposals: change sets that wait for the approval of other people, or for their time.
//!
//! A proposal has *editions*: an edit is a new edition. A *verdict* is given for one edition, by the digest of its
//! content, so an edit makes all approvals void. The database enforces the rules for every writer
//! (`migrations/20261129160000_proposals.sql`); this module only reads and writes the rows, and
//! [`settings`](crate::settings) decides.

mod due;
mod emergency;
mod freeze;
mod page;
mod record;
mod rollout;
mod store;
mod verdict;
mod verify;
mod watch;

pub use due::{next_due, waiting_for_freeze};
pub use emergency::{UnacknowledgedEmergency, next_unacknowledged, record_emergency_alert};
pub use freeze::{Freeze, FreezeError, active_freeze, end_freeze, freeze, freezes};
pub use page::{Cursor, Filter, Page, Summary, page};
pub use record::{
    Applied, ApprovalStatus, Edition, Failure, HeldReason, NewEdition, Plan, Proposal,
    ProposedValue, RevertCause, Rollout, RolloutEvent, State, Verdict, VerdictKind,
};
pub use rollout::{
    CandidateSessions, RolloutStepRecord, advance_rollout, begin_rollout, candidate_sessions,
    hold_rollout, mark_reverted, resume_rollout, rolling_number,
};
pub use store::{
    find, find_edition, insert, insert_edition, is_author, mark_applied, mark_failed,
    mark_withdrawn, now, overlapping, versions_written_by,
};
pub use verdict::{approval_status, first_acknowledgement, insert_verdict, newest_verdicts};
pub use verify::{Breach, Verification, verify};
pub use watch::watch;
