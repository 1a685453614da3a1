//! Verdicts on the editions of proposals.

mod store;

pub use store::{approval_status, first_acknowledgement, insert_verdict, newest_verdicts};
