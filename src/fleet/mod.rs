//! The instances that run over one database: each keeps a row, anybody can see which revision each has
//! applied, and a writer can wait until all of them have theirs.
//!
//! An instance counts as live as long as its row was written lately, by the database's clock. Its last act
//! is to delete the row; of one that has no last act (`kill -9`) the row stops being counted, and a later
//! heartbeat of any other deletes it.

mod heartbeat;
mod member;
mod store;
mod wait;

pub use heartbeat::keep;
pub use member::{Fleet, HeartbeatPolicy, Listing, Member, members};
pub use wait::{Applied, Laggard};
