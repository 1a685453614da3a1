//! A step of a proposal: a transaction under the lock of the head.

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{
    database::{Connection, Deadline, OnSuccess, Retry, Transaction},
    idempotency,
    ids::{RequestId, UserId},
    proposals::{self, Edition, Proposal, State},
    settings::{
        change::{self, Error as ChangeError, WriteOptions},
        proposal::error::Error,
        reload,
        schema::Schema,
        store::Head,
        writer::SettingsWriter,
    },
};

/// Who runs a step, and in which request.
#[derive(Debug, Clone)]
pub struct Person {
    /// The person.
    pub user: UserId,
    /// The request.
    pub request: RequestId,
}

/// The settings of a step: the writer, and the schema and the head under the lock.
pub(super) struct StepContext<'a> {
    pub(super) writer: &'a SettingsWriter,
    pub(super) schema: &'a Schema,
    pub(super) head: &'a Head,
}

/// A change of a proposal under the lock of the head. The lock serializes the steps of all proposals and all writes.
pub(super) trait Step: Sync {
    /// The result.
    type Output: Send;

    /// Runs the step in a transaction. A transient error repeats the transaction.
    fn run(
        &self,
        conn: &mut Connection,
        context: &StepContext<'_>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// Runs `step` in a transaction under the lock of the head, again after a transient error.
pub(super) async fn run<S: Step>(
    writer: &SettingsWriter,
    on_success: OnSuccess,
    step: &S,
) -> Result<S::Output, Error> {
    let deadline = Deadline::standard();
    let mut retry = Retry::until(deadline);
    loop {
        let snapshot = writer.settings.snapshot();
        let schema = &snapshot.schema;
        let mut transaction = Transaction::begin(&writer.pool, deadline).await?;
        let conn = transaction.conn();
        let work = async {
            let head = change::lock(conn, schema).await?;
            step.run(conn, &StepContext { writer, schema, head: &head }).await
        };
        let result = deadline.within(work).await;
        match transaction.finish(result, on_success).await {
            Err(Error::Change(ChangeError::CatalogMoved)) if retry.next().await => {
                let refreshed = reload::refresh(&writer.pool, &writer.settings).await;
                refreshed.map_err(ChangeError::from)?;
            }
            Err(Error::Change(ChangeError::Database(err)))
                if err.is_transient() && retry.next().await => {}
            result => {
                // After the commit: an earlier wake-up would find no message.
                if result.is_ok() && on_success == OnSuccess::Commit {
                    writer.outbox.wake();
                }
                return result;
            }
        }
    }
}

/// Returns the stored result if a request with the same idempotency key ran before.
pub(super) async fn find_stored_result<T: for<'de> Deserialize<'de>>(
    conn: &mut Connection,
    options: &WriteOptions,
) -> Result<Option<T>, Error> {
    let Some(key) = &options.idempotency else { return Ok(None) };
    Ok(idempotency::find(conn, key).await??)
}

/// Stores `result` for a repeated request with the same idempotency key, and returns `result`.
pub(super) async fn store_result<T: Serialize + Sync>(
    conn: &mut Connection,
    options: &WriteOptions,
    result: T,
) -> Result<T, Error> {
    if let Some(key) = &options.idempotency {
        idempotency::store(conn, key, &result).await?;
    }
    Ok(result)
}

/// Returns a proposal with its current edition.
pub(super) async fn find_content(
    conn: &mut Connection,
    number: i64,
) -> Result<(Proposal, Edition), Error> {
    let proposal = proposals::find(conn, number).await?.ok_or(Error::NotFound(number))?;
    let content = proposals::find_edition(conn, proposal.id, proposal.edition).await?;
    // Every proposal has an edition, by a foreign key.
    let content = content.ok_or(Error::NotFound(number))?;
    Ok((proposal, content))
}

/// Requires that the proposal is in one of `states`.
pub(super) fn require_state(proposal: &Proposal, states: &[State]) -> Result<(), Error> {
    if states.contains(&proposal.state) {
        return Ok(());
    }
    // The proposal is not closed: a revert or a promotion ends the rollout.
    if proposal.state == State::Rolling {
        let proposal = proposal.number;
        return Err(ChangeError::RolloutRunning { proposal, keys: Vec::new() }.into());
    }
    Err(Error::Closed { state: proposal.state, revision: proposal.applied_revision })
}
