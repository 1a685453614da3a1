//! How many files and connections this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Lets the process have as many as it is allowed to ask for: it is usually started with 1,024, and each stream
/// of events holds one.
pub(super) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        debug!(error = %err, "the limit on open files stays as it is");
    }
}
