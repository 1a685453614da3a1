//! Reads the audit trail, newest entries first.

pub(super) mod store;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{
        entry::{Entry, Filter},
        store as trail,
    },
    database::Connection,
    pagination::{self, PageSize},
};

/// The position of an entry in the trail.
pub type Cursor = pagination::Cursor<i64>;

/// A page of the audit trail, newest entries first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryPage)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The cursor of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// Returns up to `limit` entries (1..=200) that match `filter`, after `cursor`.
pub async fn page(
    conn: &mut Connection,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
) -> sqlx::Result<Page> {
    let size = PageSize::clamped(limit);
    let before = cursor.map(Cursor::position);
    let mut rows = store::page(conn, filter, before, size.fetch_limit()).await?;
    let next_cursor = size.split(&mut rows, filter, |row| row.seq);
    let entries = rows.into_iter().map(Entry::from).collect();
    Ok(Page { entries, next_cursor })
}

/// Returns the entry `id`.
pub async fn find(conn: &mut Connection, id: Uuid) -> sqlx::Result<Option<Entry>> {
    Ok(trail::find(conn, id).await?.map(Entry::from))
}

/// Returns, for each of `keys`, the entry that set its value at `revision`, by key.
pub async fn origins(
    conn: &mut Connection,
    keys: &[&str],
    revision: i64,
) -> sqlx::Result<Vec<Entry>> {
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let rows = trail::origins(conn, &keys, revision).await?;
    Ok(rows.into_iter().map(Entry::from).collect())
}
