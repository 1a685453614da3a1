//! Secrets are provisioned outside (ADR 0001): their presence and source are told, their values never, and
//! what an older release left of them in the database is taken out.

mod cleanup;
mod environment;
mod residue;
mod status;
mod store;

pub use cleanup::{Cleanup, CleanupResult, Error, KeptSecret, clean_up};
pub use environment::{Report as EnvironmentReport, environment};
pub use residue::{Residue, legacy, residue, watch};
pub use status::{Secrets, Status, status};
