//! Freezes: times in which no setting changes, except in an emergency.

mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::store::{active as active_freeze, list as freezes};
use crate::{
    audit::Actor,
    database::{Connection, TransactionError},
};

/// The longest freeze. A longer one is probably a mistake in the date.
const MAX_LENGTH: TimeDelta = TimeDelta::days(92);

/// The longest time until a freeze begins, as for a scheduled proposal.
const MAX_AHEAD: TimeDelta = TimeDelta::days(366);

/// A time in which no setting changes, except in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Freeze {
    /// The id.
    pub id: Uuid,
    /// The beginning.
    pub starts_at: DateTime<Utc>,
    /// The end.
    pub ends_at: DateTime<Utc>,
    /// The reason.
    pub reason: String,
    /// The author.
    pub set_by: String,
    /// When the author set the freeze.
    pub set_at: DateTime<Utc>,
    /// Who ended the freeze early.
    #[schema(required)]
    pub ended_by: Option<String>,
    /// When the freeze was ended early.
    #[schema(required)]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why the freeze was ended early.
    // A stored response of an earlier release has no such member.
    #[serde(default)]
    #[schema(required)]
    pub end_reason: Option<String>,
    /// The seconds until the end, by the database's clock.
    #[serde(skip)]
    pub seconds_left: i64,
}

/// Why a freeze could not be set or ended.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// The times are in the wrong order, in the past, or too far away.
    #[error("`{field}` {rule}")]
    Times {
        /// The wrong time.
        field: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// No freeze has the id.
    #[error("there is no freeze {0}")]
    NotFound(Uuid),
    /// The freeze is over.
    #[error("the freeze is over")]
    Over,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

impl From<sqlx::Error> for FreezeError {
    fn from(err: sqlx::Error) -> Self {
        Self::Database(err.into())
    }
}

/// Freezes all settings from `starts_at`, or from now, until `ends_at`, in the transaction of `conn`.
pub async fn freeze(
    conn: &mut Connection,
    actor: &Actor,
    starts_at: Option<DateTime<Utc>>,
    ends_at: DateTime<Utc>,
) -> Result<Freeze, FreezeError> {
    let now = super::store::now(conn).await?;
    let starts_at = starts_at.unwrap_or(now).max(now);
    let invalid = |field, rule| Err(FreezeError::Times { field, rule });
    if starts_at > now + MAX_AHEAD {
        return invalid("starts_at", "must be within 366 days");
    }
    if ends_at <= starts_at {
        return invalid("ends_at", "must be in the future, after `starts_at`");
    }
    if ends_at - starts_at > MAX_LENGTH {
        return invalid("ends_at", "must be at most 92 days after `starts_at`");
    }
    Ok(store::insert(conn, actor, starts_at, ends_at).await?)
}

/// Ends the freeze `id` before its end, in the transaction of `conn`.
pub async fn end_freeze(
    conn: &mut Connection,
    actor: &Actor,
    id: Uuid,
) -> Result<Freeze, FreezeError> {
    if let Some(freeze) = store::end(conn, actor, id).await? {
        return Ok(freeze);
    }
    let exists = store::exists(conn, id).await?;
    Err(if exists { FreezeError::Over } else { FreezeError::NotFound(id) })
}
