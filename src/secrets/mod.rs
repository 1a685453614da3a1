//! Secrets are provided from outside (ADR 0001): presence and source are visible, values never. Values that an
//! older release stored in the database can be removed.

mod cleanup;
mod environment;
mod residue;
mod status;
mod store;

pub use cleanup::{Cleanup, CleanupResult, Error, KeptSecret, clean_up};
pub use environment::{Report as EnvironmentReport, environment};
pub use residue::{Residue, legacy, residue, watch};
pub use status::{Secrets, Status, status};
