//! The end of the sessions that still run on the candidate.

use serde::{Deserialize, Serialize};
use tracing::info;
use uuid::Uuid;

use crate::{
    database::{Connection, Deadline, OnSuccess, Pool, Transaction},
    idempotency,
    outbox::{Outbox, Topic},
    sessions::{
        guards::{
            rollout::RolloutError,
            store::{self, EndedMessages},
            view::find_begun,
        },
        lookup::EndedBy,
    },
};

/// Sessions that one statement ends.
const BATCH: u16 = 200;

/// The most batches of a request: the caller has to repeat the request for more sessions.
const MAX_BATCHES: i64 = 50;

/// The progress of a request, stored under its idempotency key: requests with the same key continue one another.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Progress {
    ended: i64,
    is_complete: bool,
}

/// The parts of a request that ends sessions.
#[derive(Debug, Clone, Copy)]
pub struct CandidateEnd<'a> {
    /// The number of the proposal.
    pub number: i64,
    /// The administrator, with the reason.
    pub by: &'a EndedBy,
    /// The idempotency key, if any.
    pub key: Option<&'a idempotency::Key>,
}

/// Ends the sessions that run on the candidate of a proposal, as an administrator. Returns the number of ended sessions, at
/// most 10,000. Starting sessions are not ended. A repeated request with the same idempotency key has the same result.
///
/// # Errors
/// There is no such rollout, the idempotency key belongs to another request, or the database failed. After a failure of the
/// database some sessions may be ended; a repeated request ends the rest.
pub async fn end_candidate_sessions(
    pool: &Pool,
    outbox: &Outbox,
    request: CandidateEnd<'_>,
) -> Result<i64, RolloutError> {
    let CandidateEnd { number, by, key } = request;
    // Also after the end of the rollout: running sessions keep the settings of their start.
    let rollout = find_begun(pool, number).await?;
    // One deadline for all batches, within the deadline of the request.
    let deadline = Deadline::standard();
    let mut progress = Progress::default();
    // Small transactions: one for all sessions would hold the locks of thousands of rows.
    while !progress.is_complete {
        let messages = messages(outbox);
        let mut transaction = Transaction::begin(pool, deadline).await?;
        let conn = transaction.conn();
        let batch = end_batch(conn, rollout.id, (by, key), &messages, progress);
        let result = deadline.within(batch).await;
        progress = transaction.finish(result, OnSuccess::Commit).await?;
        // Without the wake-up the messages would wait for the worker's timer.
        outbox.wake();
    }
    let (user, reason) = (by.user(), by.reason());
    let sessions = progress.ended;
    info!(proposal = number, sessions, by = %user, reason, "an administrator ended the sessions of a candidate");
    Ok(sessions)
}

/// Ends the sessions of a batch, unless an earlier request with the key has ended all.
async fn end_batch(
    conn: &mut Connection,
    proposal: Uuid,
    (by, key): (&EndedBy, Option<&idempotency::Key>),
    messages: &EndedMessages,
    mut progress: Progress,
) -> Result<Progress, RolloutError> {
    if let Some(key) = key {
        idempotency::lock(conn, key).await?;
        progress = idempotency::find(conn, key).await??.unwrap_or_default();
    }
    if progress.is_complete {
        return Ok(progress);
    }
    let limit = i64::from(BATCH);
    let ended = store::end_candidate_sessions(conn, proposal, by.actor(), limit, messages).await?;
    progress.ended += ended;
    // Fewer sessions than the batch: only sessions that another transaction locks are left.
    progress.is_complete = ended < limit || progress.ended >= limit * MAX_BATCHES;
    if let Some(key) = key {
        idempotency::store(conn, key, &progress).await?;
    }
    Ok(progress)
}

fn messages(outbox: &Outbox) -> EndedMessages {
    let topic = Topic::SessionEnded;
    let sinks = outbox.sinks(topic);
    // Without a sink no ids are generated, because no message is stored.
    let count = if sinks.is_empty() { 0 } else { BATCH };
    let ids = (0..count).map(|_| Uuid::now_v7()).collect();
    EndedMessages { topic: topic.as_str(), sinks, ids }
}
