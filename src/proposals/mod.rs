//! The records of proposals: change sets that wait for the approval of other people, or for their time.
//!
//! A proposal has *editions*: an edit is a new edition. A *verdict* is given for one edition, by the digest of its
//! content, so no approval outlives an edit. The database enforces the rules for every writer
//! (`migrations/20261129160000_proposals.sql`); this module only reads and writes the rows, and
//! [`settings`](crate::settings) decides.

mod bypass;
mod due;
mod freeze;
mod page;
mod record;
mod store;
mod verdict;
mod watch;

pub use bypass::{UnacknowledgedBypass, next_unacknowledged, record_bypass_alert};
pub use due::{next_due, waiting_for_freeze};
pub use freeze::{Freeze, FreezeError, active_freeze, end_freeze, freeze, freezes};
pub use page::{Cursor, Filter, Page, Summary, page};
pub use record::{
    Applied, ApprovalStatus, Edition, Failure, NewEdition, Plan, Proposal, ProposedValue, State,
    Verdict, VerdictKind,
};
pub use store::{
    apply, create, edit, end, fail, find, find_edition, is_author, now, overlapping,
    version_written_by,
};
pub use verdict::{approval_status, first_acknowledgement, give_verdict, newest_verdicts};
pub use watch::watch;
