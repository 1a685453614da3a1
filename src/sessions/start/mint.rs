//! Third step of a start: a client secret from the realtime provider.

use std::time::Duration;

use tokio::time::timeout_at;
use tracing::warn;

use crate::{
    database::{self, Connection, Deadline},
    sessions::{
        realtime::{MintedSecret, Realtime, RealtimeError},
        start::{request::StartingSession, store},
    },
};

/// The part of the deadline that is reserved for the steps after the provider's response.
const RESERVE: Duration = Duration::from_millis(500);

impl StartingSession<'_> {
    /// Requests a client secret. After a failure the session is marked as failed.
    pub(super) async fn mint(
        &self,
        realtime: &Realtime,
        instructions: Option<&str>,
    ) -> Result<MintedSecret, RealtimeError> {
        let until = self.request.due.checked_sub(RESERVE).unwrap_or(self.request.due);
        let result = realtime.mint(self.session, instructions, &self.request.id, until).await;
        // After an unknown outcome too, because an unused client secret soon expires.
        if result.is_err() {
            self.fail().await;
        }
        result
    }

    /// Marks the session as failed, so that the user can retry immediately. Otherwise the session counts as
    /// abandoned after half a minute.
    async fn fail(&self) {
        let id = self.session.id;
        let now = self.request.now;
        let update = async |conn: &mut Connection| store::fail(conn, id, now).await;
        // Half of the reserve remains for the response.
        let until = self.request.due.checked_sub(RESERVE / 2).unwrap_or(self.request.due);
        let result = timeout_at(
            until,
            database::execute_autocommit(self.pool, Deadline::standard(), update),
        )
        .await;
        if !matches!(result, Ok(Ok(()))) {
            warn!(session = %id, "failed to mark a session as failed; the user is blocked for up to 30 s");
        }
    }
}
