//! Looking through the sessions, newest first, page by page; and where the settings of one came from.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Pool, TransactionError},
    pagination,
    sessions::{
        KEYS, LookupError,
        session::{Session, Status},
        store,
    },
};

/// Which sessions are wanted; a field that is `None` wants all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In this status, as they are now.
    pub status: Option<Status>,
    /// Of this user.
    pub user_id: Option<String>,
    /// That hold this revision.
    pub revision: Option<i64>,
}

/// What cursors are made for.
const LIST: &str = "sessions";

/// Where a page ended: opaque to callers, and good only with the filter it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// Reads a cursor that [`Page::next_cursor`] gave out for `filter`.
    #[must_use]
    pub fn parse(text: &str, filter: &Filter) -> Option<Self> {
        pagination::decode(text, LIST, filter).map(|it| Self(Uuid::from_bytes(it)))
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
    let limit = usize::from(limit.clamp(1, 200));
    // One more than is shown tells whether there is a next page.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let before = cursor.map(|it| it.0);
    let read = async |conn: &mut Connection| {
        Ok::<_, TransactionError>(store::page(conn, filter, before, wanted, now).await?)
    };
    let mut sessions = database::read_with_retry(pool, read).await?;
    let more = limit < sessions.len();
    sessions.truncate(limit);
    let last = sessions.last().map(|it| Cursor(it.id)).filter(|_| more);
    Ok(Page { sessions, next_cursor: last.map(|it| it.encode(filter)) })
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
