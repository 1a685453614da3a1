//! Reading and ending a session.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::{self, Connection, Deadline, Pool, TransactionError},
    ids::UserId,
    outbox::{Outbox, Topic},
    sessions::{
        session::Session,
        store::{self, Ending},
    },
};

/// Who asks for a session: they must own it, or be allowed every one.
#[derive(Debug, Clone)]
pub enum SessionScope {
    /// This user's only.
    Of(UserId),
    /// Anybody's: an administrator, or an internal service.
    Any,
}

/// Why there is no such session for the caller.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// There is none, or it is another user's; the caller cannot tell which.
    #[error("there is no session {0}")]
    NotFound(Uuid),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// The session `id`.
pub async fn find(
    pool: &Pool,
    caller: &SessionScope,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Session, LookupError> {
    let found = stored(pool, id, now).await?;
    let own = |session: &Session| match caller {
        SessionScope::Of(user) => session.user_id == user.as_str(),
        SessionScope::Any => true,
    };
    found.filter(own).ok_or(LookupError::NotFound(id))
}

/// The session `id` as it is at `now`, whosever it is; none if there is none.
pub(super) async fn stored(
    pool: &Pool,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Session>, TransactionError> {
    database::read_with_retry(pool, async |conn| store::find(conn, id, now).await).await
}

/// How a session is ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The session.
    pub id: Uuid,
    /// When.
    pub now: DateTime<Utc>,
    /// Which administrator ends it, and why; `None` for its owner, or a service.
    pub by: Option<Actor>,
}

/// Ends a session and returns it; one that has ended stays as it is, and so does one that is still starting.
pub async fn end(
    pool: &Pool,
    outbox: &Outbox,
    caller: &SessionScope,
    end: &End,
) -> Result<Session, LookupError> {
    let End { id, now, by } = end;
    let found = find(pool, caller, *id, *now).await?;
    let at = found.started_at.max(*now);
    let by = by.as_ref().map(|it| (it.user.as_str().to_owned(), it.reason.as_str().to_owned()));
    let (by, reason) = by.unzip();
    let mut payload = found.payload();
    payload["ended_at"] = json!(at);
    payload["ended_by"] = json!(by);
    payload["reason"] = json!(reason);
    let ending = Ending {
        id: *id,
        at,
        by,
        reason,
        message_id: Uuid::now_v7(),
        topic: Topic::SessionEnded.as_str(),
        sinks: outbox.sinks(Topic::SessionEnded),
        payload,
    };
    let ended = async |conn: &mut Connection| store::end(conn, &ending).await;
    database::execute_autocommit(pool, Deadline::standard(), ended).await?;
    find(pool, caller, *id, *now).await
}
