//! The limit on open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Raises the limit to the permitted maximum: the usual default is 1,024, and each event stream holds a descriptor.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        debug!(error = %err, "cannot raise the limit on open files");
    }
}
