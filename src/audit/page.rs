//! Reading the trail, newest first, page by page.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    audit::{Action, store},
    database::Connection,
    pagination,
};

/// One entry of the trail.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// The change set it belongs to; none for what changed nothing.
    #[schema(required)]
    pub revision: Option<i64>,
    /// The setting.
    pub key: String,
    /// What kind of change.
    #[schema(value_type = String, example = "update")]
    pub action: Action,
    /// Its value before.
    #[schema(required)]
    pub old_value: Option<Value>,
    /// Its value after.
    #[schema(required)]
    pub new_value: Option<Value>,
    /// Its version after.
    #[schema(required)]
    pub version: Option<i32>,
    /// Who.
    pub changed_by: String,
    /// Why.
    pub reason: String,
    /// In which request.
    pub request_id: String,
    /// When, by the database's clock.
    pub changed_at: DateTime<Utc>,
}

/// Which entries are wanted; a field that is `None` wants all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this key.
    pub key: Option<String>,
    /// By this person.
    pub changed_by: Option<String>,
    /// Of this kind.
    pub action: Option<Action>,
    /// In this request.
    pub request_id: Option<String>,
    /// Of this change set.
    pub revision: Option<i64>,
    /// Not before.
    pub since: Option<DateTime<Utc>>,
    /// Not after.
    pub until: Option<DateTime<Utc>>,
}

/// What cursors are made for.
const LIST: &str = "history";

/// Where a page ended: opaque to callers, and good only with the filter it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// Reads a cursor that [`Page::next_cursor`] gave out for `filter`.
    #[must_use]
    pub fn parse(text: &str, filter: &Filter) -> Option<Self> {
        pagination::decode(text, LIST, filter).map(|it| Self(i64::from_be_bytes(it)))
    }

    fn encode(self, filter: &Filter) -> String {
        pagination::encode(self.0.to_be_bytes(), LIST, filter)
    }
}

/// A page of the trail, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HistoryPage)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none on the last.
    pub next_cursor: Option<String>,
}

/// Up to `limit` entries (1..=200) that fit `filter`, after `cursor`.
pub async fn page(
    conn: &mut Connection,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u16,
) -> sqlx::Result<Page> {
    let limit = usize::from(limit.clamp(1, 200));
    // One more than is shown tells whether there is a next page.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut rows = store::page(conn, filter, cursor.map(|it| it.0), wanted).await?;
    let more = limit < rows.len();
    rows.truncate(limit);
    let last = rows.last().map(|row| Cursor(row.seq));
    let next_cursor = last.filter(|_| more).map(|it| it.encode(filter));
    let entries = rows.into_iter().map(store::Row::entry).collect::<sqlx::Result<_>>()?;
    Ok(Page { entries, next_cursor })
}

/// The entry with this id.
pub async fn find(conn: &mut Connection, id: Uuid) -> sqlx::Result<Option<Entry>> {
    store::find(conn, id).await?.map(store::Row::entry).transpose()
}

/// Of each of `keys` the entry that its value at `revision` came from, by key.
pub async fn origins(
    conn: &mut Connection,
    keys: &[&str],
    revision: i64,
) -> sqlx::Result<Vec<Entry>> {
    let keys: Vec<String> = keys.iter().map(|&it| it.to_owned()).collect();
    let rows = store::origins(conn, &keys, revision).await?;
    rows.into_iter().map(store::Row::entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_only_with_its_own_filter() {
        let filter = Filter { key: Some("A".to_owned()), ..Filter::default() };
        let text = Cursor(42).encode(&filter);
        assert_eq!(Cursor::parse(&text, &filter), Some(Cursor(42)));
        assert_eq!(Cursor::parse(&text, &Filter::default()), None);
        for made_up in ["", "AAAA", "not base64!", "AAAAAAAAACoAAAAAAAA"] {
            assert_eq!(Cursor::parse(made_up, &filter), None, "{made_up}");
        }
    }
}
