//! The audit trail: who changed what, when, why and in which request. Append-only; each entry holds the hash of the
//! previous entry.

mod actor;
mod chain;
mod entry;
mod page;
mod store;
mod timeline;

pub use actor::{Actor, Reason};
pub use chain::{ChainBreak, Verification, verify, verify_after};
pub use entry::{Action, Entry, Filter, NewEntry};
pub use page::{Cursor, Page, find, origins, page};
pub use store::append;
pub use timeline::{Timeline, timeline};
