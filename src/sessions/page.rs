//! Looking through the sessions, newest first, page by page; and where the settings of one came from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Failure, Pool},
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

impl Filter {
    /// What ties a cursor to the filter it was made for.
    fn mark(&self, last: Uuid) -> [u8; 6] {
        let digest = Sha256::digest(format!("brune sessions {last} {self:?}"));
        std::array::from_fn(|at| digest[at])
    }
}

/// Where a page ended: opaque to callers, and good only with the filter it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(Uuid);

impl Cursor {
    /// Reads a cursor that [`Page::next_cursor`] gave out for `filter`.
    #[must_use]
    pub fn parse(text: &str, filter: &Filter) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (last, mark) = bytes.split_at_checked(16)?;
        let last = Uuid::from_slice(last).ok()?;
        (mark == filter.mark(last)).then_some(Self(last))
    }

    fn spell(self, filter: &Filter) -> String {
        let mut bytes = self.0.as_bytes().to_vec();
        bytes.extend(filter.mark(self.0));
        URL_SAFE_NO_PAD.encode(bytes)
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
) -> Result<Page, Failure> {
    let limit = usize::from(limit.clamp(1, 200));
    // One more than is shown tells whether there is a next page.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let before = cursor.map(|it| it.0);
    let read = async |conn: &mut Connection| {
        Ok::<_, Failure>(store::page(conn, filter, before, wanted, now).await?)
    };
    let mut sessions = database::look(pool, read).await?;
    let more = limit < sessions.len();
    sessions.truncate(limit);
    let last = sessions.last().map(|it| Cursor(it.id)).filter(|_| more);
    Ok(Page { sessions, next_cursor: last.map(|it| it.spell(filter)) })
}

/// The session `id` at `now`, with the change that each of its settings came from: by key, none of a key that
/// was not there yet.
pub async fn trace(
    pool: &Pool,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<(Session, Vec<audit::Entry>), LookupError> {
    let read = async |conn: &mut Connection| {
        let Some(session) = store::find(conn, id, now).await.map_err(Failure::from)? else {
            return Err(LookupError::NotFound(id));
        };
        let origins = audit::origins(conn, &KEYS, session.settings_revision).await;
        Ok((session, origins.map_err(Failure::from)?))
    };
    database::look(pool, read).await
}
