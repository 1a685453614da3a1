//! The paginated listing of sessions.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::{self, Pool, TransactionError},
    pagination::{self, PageSize},
    sessions::{
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
