//! One change set: the requested edits, the checks before and under the lock, and the result.

mod apply;
mod edit;
mod message;
mod outcome;
mod resolve;
mod secrets;

pub(super) use apply::{Batch, apply, lock};
pub(super) use edit::size;
pub use edit::{Edit, WriteOptions};
pub(super) use message::{enqueue_changed, enqueue_refused};
pub use outcome::{ChangeResult, Conflict, Error, KeyChange, SecretMatches};
pub(super) use resolve::resolve;
pub(super) use secrets::{UNDECLARED, keys_to_record, public_name, scan, scan_values};
