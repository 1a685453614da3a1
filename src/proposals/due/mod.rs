//! Proposals whose time has come.

mod store;

pub use store::{next_due, waiting_for_freeze};
