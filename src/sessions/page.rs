//! The paginated listing of sessions, and the origins of a session's settings.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Pool, TransactionError},
    pagination,
    sessions::{filter::Filter, lookup::LookupError, rules::KEYS, session::Session, store},
};

/// The name of the listing in cursors.
const LIST: &str = "sessions";

/// The end of a page: opaque to callers, and valid only with the same filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// Parses a cursor that [`Page::next_cursor`] returned for `filter`.
    #[must_use]
    pub fn parse(text: &str, filter: &Filter) -> Option<Self> {
        pagination::decode(text, LIST, filter).map(|id| Self(Uuid::from_bytes(id)))
    }

    fn encode(self, filter: &Filter) -> String {
        pagination::encode(self.0.into_bytes(), LIST, filter)
    }
}

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
    let limit = usize::from(limit.clamp(1, 200));
    // One extra row shows whether a next page exists.
    let row_limit = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let before = cursor.map(|cursor| cursor.0);
    let read = async |conn: &mut Connection| {
        Ok::<_, TransactionError>(store::page(conn, filter, before, row_limit, now).await?)
    };
    let mut sessions = database::read_with_retry(pool, read).await?;
    let has_next = sessions.len() > limit;
    sessions.truncate(limit);
    let last = sessions.last().map(|session| Cursor(session.id)).filter(|_| has_next);
    Ok(Page { sessions, next_cursor: last.map(|cursor| cursor.encode(filter)) })
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
        let origins = audit::origins(conn, &KEYS, session.settings_revision).await;
        Ok((session, origins.map_err(TransactionError::from)?))
    };
    database::read_with_retry(pool, read).await
}
