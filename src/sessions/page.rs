//! The paginated listing of sessions, and the origins of a session's settings.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Pool, TransactionError},
    pagination::{self, PageSize},
    sessions::{
        lookup::LookupError,
        rules::KEYS,
        session::{Filter, Session},
        store,
    },
};

/// The position of a session in the list.
pub type Cursor = pagination::Cursor<Uuid>;

/// A page of sessions, newest first.
#[derive(Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The cursor of the next page; `None` on the last page.
    pub next_cursor: Option<String>,
}

/// Returns up to `limit` sessions (1..=200) that match `filter` at `now`, after `cursor`.
///
/// # Errors
/// The database failed.
pub async fn page(
    pool: &Pool,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
    now: DateTime<Utc>,
) -> Result<Page, TransactionError> {
    let size = PageSize::clamped(limit);
    let before = cursor.map(Cursor::position);
    let mut sessions = database::read_with_retry(pool, async |conn| {
        store::page(conn, filter, before, size.fetch_limit(), now).await
    })
    .await?;
    // Version 7 UUIDs sort by start, up to the clock differences between instances.
    let next_cursor = size.split(&mut sessions, filter, |session| session.id);
    Ok(Page { sessions, next_cursor })
}

/// Returns the session `id` at `now`, and the audit entry of each of the session's settings, sorted by key. A key that
/// did not exist yet has no entry.
///
/// # Errors
/// The session does not exist, or the database failed.
pub async fn trace(
    pool: &Pool,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(Session, Vec<audit::Entry>), LookupError> {
    let read = async |conn: &mut Connection| {
        let Some(session) = store::find(conn, id, now).await.map_err(TransactionError::from)?
        else {
            return Err(LookupError::NotFound(id));
        };
        // The trail is append-only, so a second statement still reads the state of the start.
        let origins = audit::origins(conn, &KEYS, session.settings_revision).await;
        Ok((session, origins.map_err(TransactionError::from)?))
    };
    database::read_with_retry(pool, read).await
}
