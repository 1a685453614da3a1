//! The end of the sessions that still run on the candidate.

use tracing::info;
use uuid::Uuid;

use crate::{
    database::{self, Connection, Deadline, Pool},
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
const MAX_BATCHES: u16 = 50;

/// Ends the sessions that run on the candidate of the proposal `number`, as an administrator. Returns the number of ended
/// sessions, at most 10,000. Starting sessions are not ended.
///
/// # Errors
/// There is no such rollout, or the database failed. After a failure of the database some sessions may be ended; a
/// repeated request ends the rest.
pub async fn end_candidate_sessions(
    pool: &Pool,
    outbox: &Outbox,
    number: i64,
    by: &EndedBy,
) -> Result<i64, RolloutError> {
    // Also after the end of the rollout: running sessions keep the settings of their start.
    let rollout = find_begun(pool, number).await?;
    // One deadline for all batches, within the deadline of the request.
    let deadline = Deadline::standard();
    let mut total = 0;
    // Small statements: one for all sessions would hold the locks of thousands of rows.
    for _ in 0..MAX_BATCHES {
        let messages = messages(outbox);
        let end = async |conn: &mut Connection| {
            store::end_candidate_sessions(conn, rollout.id, by.actor(), BATCH.into(), &messages)
                .await
        };
        let ended = database::execute_autocommit(pool, deadline, end).await?;
        if ended > 0 {
            // Without the wake-up the messages would wait for the worker's timer.
            outbox.wake();
        }
        total += ended;
        // Fewer sessions than the batch: only sessions that another transaction locks are left.
        if ended < i64::from(BATCH) {
            break;
        }
    }
    let (user, reason) = (by.user(), by.reason());
    info!(proposal = number, sessions = total, by = %user, reason, "an administrator ended the sessions of a candidate");
    Ok(total)
}

fn messages(outbox: &Outbox) -> EndedMessages {
    let topic = Topic::SessionEnded;
    let sinks = outbox.sinks(topic);
    // Without a sink no ids are generated, because no message is stored.
    let count = if sinks.is_empty() { 0 } else { BATCH };
    let ids = (0..count).map(|_| Uuid::now_v7()).collect();
    EndedMessages { topic: topic.as_str(), sinks, ids }
}
