//! The origins of a session's settings: the change behind each value, and the arm of a rollout.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit,
    database::{self, Connection, Pool, TransactionError},
    rollouts,
    sessions::{
        lookup::LookupError,
        rules::KEYS,
        session::Session,
        store::{self, RolloutRow},
    },
};

/// The action of a value that is no change of the settings: the value of a rollout's candidate.
const ROLLOUT: &str = "rollout";

/// A session with the origin of its settings.
#[derive(Debug)]
pub struct Trace {
    /// The session.
    pub session: Session,
    /// The origin of each setting, sorted by key. A key that did not exist yet has none.
    pub settings: Vec<Origin>,
    /// Why the session is in its arm; `None` if no rollout ran at the start.
    pub assignment: Option<Assignment>,
}

/// The origin of a session's setting: a change of the settings, or the proposal of a rollout.
#[derive(Debug)]
pub struct Origin {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
    /// The version; `None` for a value of a rollout.
    pub version: Option<i32>,
    /// The revision of the change; `None` for a value of a rollout.
    pub revision: Option<i64>,
    /// The kind of change.
    pub action: String,
    /// The author.
    pub changed_by: String,
    /// The reason.
    pub reason: String,
    /// The request.
    pub request_id: String,
    /// The time.
    pub changed_at: DateTime<Utc>,
}

/// Why a session is in its arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// The stage of the rollout at the start, from 1; `None` if the plan has no such share.
    pub stage: Option<i64>,
    /// The bucket of the user: a candidate if less than the share in basis points.
    pub bucket: u16,
}

impl From<audit::Entry> for Origin {
    fn from(entry: audit::Entry) -> Self {
        Self {
            key: entry.key,
            value: entry.new_value.unwrap_or_default(),
            version: entry.version,
            revision: entry.revision,
            action: entry.action,
            changed_by: entry.changed_by,
            reason: entry.reason,
            request_id: entry.request_id,
            changed_at: entry.changed_at,
        }
    }
}

/// Returns the session `id` at `now`, with the origin of its settings.
///
/// # Errors
/// The session does not exist, or the database failed.
pub async fn trace(pool: &Pool, id: Uuid, now: DateTime<Utc>) -> Result<Trace, LookupError> {
    let read = async |conn: &mut Connection| {
        let session = store::find(conn, id, now).await.map_err(TransactionError::from)?;
        let session = session.ok_or(LookupError::NotFound(id))?;
        // Trail and editions are append-only, so further statements still read the state of the start.
        let origins = audit::origins(conn, &KEYS, session.settings_revision)
            .await
            .map_err(TransactionError::from)?;
        let rollout = match &session.arm {
            Some(arm) => store::find_rollout(conn, arm).await.map_err(TransactionError::from)?,
            None => None,
        };
        Ok::<_, LookupError>((session, origins, rollout))
    };
    let (session, origins, rollout) = database::read_with_retry(pool, read).await?;
    let mut settings: Vec<Origin> = origins.into_iter().map(Origin::from).collect();
    let assignment = rollout.as_ref().map(|rollout| Assignment {
        stage: rollout.stage,
        bucket: rollouts::bucket(&rollout.salt, &session.user_id),
    });
    // A session of the control has the values of its revision.
    if let Some(rollout) = rollout.filter(|_| session.is_candidate()) {
        replace(&mut settings, rollout);
    }
    Ok(Trace { session, settings, assignment })
}

/// Replaces the origins of settings by those of the values of the candidate.
fn replace(settings: &mut Vec<Origin>, rollout: RolloutRow) {
    let RolloutRow { edits, written_by, reason, request_id, written_at, .. } = rollout;
    for (key, proposed) in edits.0 {
        // The proposal may change further settings, which a start does not read.
        if !KEYS.contains(&key.as_str()) {
            continue;
        }
        // The session never had the value of its revision.
        settings.retain(|origin| origin.key != key);
        settings.push(Origin {
            key,
            value: proposed.value,
            version: None,
            revision: None,
            action: ROLLOUT.to_owned(),
            changed_by: written_by.clone(),
            reason: reason.clone(),
            request_id: request_id.clone(),
            changed_at: written_at,
        });
    }
    settings.sort_by(|first, second| first.key.cmp(&second.key));
}
