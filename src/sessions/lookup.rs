//! Reading and ending a session.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::{self, Connection, Deadline, Failure, Pool},
    ids::UserId,
    sessions::{session::Session, store},
};

/// Who asks for a session: they must own it, or be allowed every one.
#[derive(Debug, Clone)]
pub enum Reach {
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
    Database(#[from] Failure),
}

/// The session `id`.
pub async fn find(
    pool: &Pool,
    caller: &Reach,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Session, LookupError> {
    let found =
        database::look(pool, async |conn| Ok::<_, Failure>(store::find(conn, id, now).await?))
            .await?;
    let own = |session: &Session| match caller {
        Reach::Of(user) => session.user_id == user.as_str(),
        Reach::Any => true,
    };
    found.filter(own).ok_or(LookupError::NotFound(id))
}

/// Ends the session `id` and returns it; one that has ended stays as it is.
pub async fn end(
    pool: &Pool,
    caller: &Reach,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Session, LookupError> {
    find(pool, caller, id, now).await?;
    let ended = async |conn: &mut Connection| store::end(conn, id, now).await;
    database::once(pool, Deadline::usual(), ended).await?;
    find(pool, caller, id, now).await
}
