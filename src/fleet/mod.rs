//! The instances of one database. Each instance has a row with the applied revision, and a writer can wait until
//! all instances have applied a revision.
//!
//! An instance is live as long as the latest heartbeat is recent, by the database's clock. An instance deletes the
//! row at shutdown. The row of a killed instance expires and is deleted by another instance.

mod heartbeat;
mod level;
mod member;
mod store;
mod view;
mod wait;

pub use heartbeat::keep;
pub use level::{FeatureLevel, OutdatedInstance};
pub use member::{Fleet, HeartbeatPolicy, Listing, Member, members};
pub use wait::{Applied, Laggard};
