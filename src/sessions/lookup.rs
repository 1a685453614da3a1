//! Reading and ending a session.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::{self, Connection, Deadline, Pool, TransactionError},
    ids::UserId,
    outbox::{Outbox, Topic},
    secret_scanner::SecretKind,
    sessions::{
        session::{Outcome, Session},
        store::{self, Ending},
    },
    settings::SettingsWriter,
};

/// The sessions that the caller can access.
#[derive(Debug, Clone)]
pub enum SessionScope {
    /// The sessions of this user.
    Of(UserId),
    /// All sessions, for administrators and internal services.
    Any,
}

/// The reason why a session was not returned.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The session does not exist, or belongs to another user; deliberately not distinguished.
    #[error("there is no session {0}")]
    NotFound(Uuid),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// Returns the session `id`.
///
/// # Errors
/// The caller cannot access such a session, or the database failed.
pub async fn find(
    pool: &Pool,
    scope: &SessionScope,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Session, LookupError> {
    let session = stored(pool, id, now).await?;
    let is_in_scope = |session: &Session| match scope {
        SessionScope::Of(user) => session.user_id == user.as_str(),
        SessionScope::Any => true,
    };
    // Filtered after the read: foreign and missing sessions produce the same error.
    session.filter(is_in_scope).ok_or(LookupError::NotFound(id))
}

/// Returns the session `id` with the status at `now`, of any user.
pub(super) async fn stored(
    pool: &Pool,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<Option<Session>, TransactionError> {
    database::read_with_retry(pool, async |conn| store::find(conn, id, now).await).await
}

/// The end of a session.
#[derive(Debug, Clone)]
pub struct End {
    /// The id of the session.
    pub id: Uuid,
    /// The time.
    pub now: DateTime<Utc>,
    /// The administrator and the reason; `None` for the owner or a service.
    pub by: Option<EndedBy>,
    /// How the session went.
    pub outcome: Option<Outcome>,
}

/// An administrator who ends a session, with a reason that holds no secret.
#[derive(Debug, Clone)]
pub struct EndedBy(Actor);

impl EndedBy {
    /// Scans the reason of `actor`, because the reason is stored, sent to other services and logged.
    ///
    /// # Errors
    /// The reason looks like a secret, which the audit trail records, or the database failed.
    pub async fn new(actor: Actor, settings: &SettingsWriter) -> Result<Self, EndReasonError> {
        match settings.scan_text(&actor, actor.reason.as_str(), false).await? {
            Some(kind) => Err(EndReasonError::Secret(kind)),
            None => Ok(Self(actor)),
        }
    }

    /// Returns the administrator, with the reason.
    pub(super) fn actor(&self) -> &Actor {
        &self.0
    }

    /// Returns the administrator's id.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.0.user
    }

    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.0.reason.as_str()
    }
}

/// Why the reason for ending a session was not accepted; the session was not ended.
#[derive(Debug, thiserror::Error)]
pub enum EndReasonError {
    /// The reason looks like a secret.
    #[error("the reason {}", .0.detail())]
    Secret(SecretKind),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// Ends an active session and returns the session. A session with another status remains unchanged.
///
/// # Errors
/// The caller cannot access such a session, or the database failed.
pub async fn end(
    pool: &Pool,
    outbox: &Outbox,
    scope: &SessionScope,
    end: &End,
) -> Result<Session, LookupError> {
    let End { id, now, by, outcome } = end;
    // Checks the scope, because the update below matches the id alone.
    let session = find(pool, scope, *id, *now).await?;
    // Clocks of instances differ, so `now` may be before the start.
    let at = session.started_at.max(*now);
    let by = by.as_ref().map(|by| (by.user().as_str().to_owned(), by.reason().to_owned()));
    let (by, reason) = by.unzip();
    let mut payload = session.payload();
    payload["ended_at"] = json!(at);
    payload["ended_by"] = json!(by);
    payload["reason"] = json!(reason);
    let ending = Ending {
        id: *id,
        at,
        by,
        reason,
        outcome: *outcome,
        // One id for all sinks, so that receivers can correlate the messages.
        message_id: Uuid::now_v7(),
        topic: Topic::SessionEnded.as_str(),
        sinks: outbox.sinks(Topic::SessionEnded),
        payload,
    };
    let update = async |conn: &mut Connection| store::end(conn, &ending).await;
    // The result is ignored: the session is read again below, for every status.
    database::execute_autocommit(pool, Deadline::standard(), update).await?;
    find(pool, scope, *id, *now).await
}
