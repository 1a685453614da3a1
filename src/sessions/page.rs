//! Looking through the sessions, newest first, page by page; and where the settings of one came from.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Pool, TransactionError},
    pagination::{self, PageSize},
    sessions::{
        KEYS, LookupError,
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
    /// Where the next page begins; none on the last.
    pub next_cursor: Option<String>,
}

/// Up to `limit` sessions (1..=200) that fit `filter` at `now`, after `cursor`.
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
    let next_cursor = size.split(&mut sessions, filter, |session| session.id);
    Ok(Page { sessions, next_cursor })
}

/// The session `id` at `now`, with the change that each of its settings came from: by key, none of a key that
/// was not there yet.
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
        let origins = audit::origins(conn, &KEYS, session.settings_revision).await;
        Ok((session, origins.map_err(TransactionError::from)?))
    };
    database::read_with_retry(pool, read).await
}
