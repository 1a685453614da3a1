//! The records of proposals: change sets that wait for the approval of other people, or for their time.
//!
//! A proposal has *editions*: an edit is a new edition. A *verdict* is given for one edition, by the digest of its
//! content, so no approval outlives an edit. The database enforces the rules for every writer
//! (`migrations/20261129160000_proposals.sql`); this module only reads and writes the rows, and
//! [`settings`](crate::settings) decides.

mod bypass;
mod freeze;
mod page;
mod record;
mod store;
mod verify;
mod watch;

pub use bypass::{UnacknowledgedBypass, next_unacknowledged, record_bypass_alert};
pub use freeze::{Freeze, FreezeError, active_freeze, end_freeze, freeze, freezes};
pub use page::{Cursor, Filter, Page, Summary, page};
pub use record::{
    Applied, ApprovalStatus, Edition, Failure, NewEdition, Plan, Proposal, ProposedValue, State,
    Verdict, VerdictKind,
};
pub use store::{
    apply, approval_status, create, edit, end, fail, find, find_edition, give_verdict, is_author,
    next_due, now, overlapping, verdicts, version_written_by,
};
pub use verify::{Breach, Verification, verify};
pub use watch::watch;
