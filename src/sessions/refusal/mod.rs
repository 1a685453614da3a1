//! Records of starts that were refused for reasons of the user, for a what-if (`sessions/what_if/`).

mod store;

use std::time::Duration;

use tracing::warn;

use crate::{
    database::{self, Connection, Deadline, Pool, TransactionError},
    sessions::{eligibility::IneligibleReason, session::NewSession},
};

/// The number of days for which refusals are kept.
pub(super) const RETENTION_DAYS: i32 = 8;

/// The longest wait for the record: the user waits for the response of the start.
const PATIENCE: Duration = Duration::from_secs(1);

/// A refused start.
pub(super) struct Refusal<'a> {
    /// The session that did not start.
    pub(super) session: &'a NewSession,
    pub(super) reasons: &'a [IneligibleReason],
}

impl Refusal<'_> {
    fn codes(&self) -> Vec<&'static str> {
        self.reasons.iter().map(IneligibleReason::code).collect()
    }

    /// Records the refusal, at most once in a minute for a user.
    ///
    /// A failure is only logged: the refusal is correct without a record.
    pub(super) async fn record(&self, pool: &Pool) {
        let insert = async |conn: &mut Connection| store::insert(conn, self).await;
        let deadline = Deadline::after(PATIENCE);
        if let Err(error) = database::execute_autocommit(pool, deadline, insert).await {
            // Without the user, who is no part of the failure.
            warn!(%error, "a refused session start was not recorded");
        }
    }
}

/// Deletes up to 10,000 refusals that are older than the retention. Returns the number of deleted rows.
pub(super) async fn forget(pool: &Pool) -> Result<u64, TransactionError> {
    let delete = async |conn: &mut Connection| store::delete_expired(conn, RETENTION_DAYS).await;
    database::execute_autocommit(pool, Deadline::standard(), delete).await
}
