//! Last step of a start: the session becomes active.

use uuid::Uuid;

use crate::{
    database::{self, Connection, Deadline, Retry, TransactionError},
    outbox::Topic,
    sessions::{
        lookup,
        realtime::MintedSecret,
        session::Status,
        start::{
            error::Error,
            request::StartingSession,
            store::{self, Activation},
        },
    },
};

impl StartingSession<'_> {
    /// Activates the session and enqueues a message for each sink.
    ///
    /// A lost response to the statement is no error: the next attempt finds the active session.
    pub(super) async fn activate(
        &self,
        client_secret: Option<&MintedSecret>,
        sinks: Vec<String>,
    ) -> Result<(), Error> {
        let provider_request_id =
            client_secret.and_then(|secret| Some(secret.request_id.as_ref()?.as_str().to_owned()));
        let activation = Activation {
            id: self.session.id,
            provider_session_id: client_secret.map(|secret| secret.session_id.clone()),
            provider_request_id,
            // One id for all attempts, so that receivers can discard duplicates.
            message_id: Uuid::now_v7(),
            topic: Topic::SessionStarted.as_str(),
            sinks,
            payload: self.session.payload(),
        };
        let deadline = Deadline::standard();
        let mut retry = Retry::until(deadline);
        loop {
            let update = async |conn: &mut Connection| store::activate(conn, &activation).await;
            match database::execute_autocommit(self.pool, deadline, update).await {
                Ok(true) => return Ok(()),
                // An earlier attempt with unknown outcome may have activated the session.
                Ok(false) if retry.has_unknown_outcome() && self.is_active().await? => {
                    return Ok(());
                }
                Ok(false) => return Err(Error::GivenUp),
                Err(error) if error.is_transient_or_outcome_unknown() => {
                    retry.after(error).await?;
                }
                Err(error) => return Err(retry.unknown_outcome().unwrap_or(error).into()),
            }
        }
    }

    async fn is_active(&self) -> Result<bool, TransactionError> {
        let session = lookup::stored(self.pool, self.session.id, self.request.now).await?;
        Ok(session.is_some_and(|session| session.status == Status::Active))
    }
}
