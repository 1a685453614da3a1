//! The revisions of running sessions, which show how far a change has drained.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection, Pool, TransactionError},
    sessions::store::{self, OutdatedRow, PinRow},
};

/// The running sessions by revision of the settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPins)]
pub struct Pins {
    /// The newest revision of the settings.
    pub revision: i64,
    /// Number of running sessions.
    pub total: i64,
    /// Running sessions by revision, newest first, without revisions of no running session.
    pub pins: Vec<Pin>,
    /// Settings whose current value differs from the value in running sessions, sorted by key: older values, and values
    /// of a rollout. Settings with `applies: hot` are not stored in sessions.
    pub settings: Vec<OutdatedSetting>,
}

/// A setting with another value in running sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPinnedSetting)]
pub struct OutdatedSetting {
    /// The key.
    pub key: String,
    /// The current version.
    pub version: i32,
    /// The current value.
    pub value: Value,
    /// Number of sessions with another value.
    pub sessions: i64,
    /// The other values: of rollouts, then older ones, newest version first.
    pub held: Vec<PinnedValue>,
}

/// A value in running sessions that is not the current value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPinnedValue)]
pub struct PinnedValue {
    /// The version; null for a value of a rollout.
    #[schema(required)]
    pub version: Option<i32>,
    /// The proposal of the rollout that the sessions follow; null for an older value.
    #[schema(required)]
    pub proposal: Option<i64>,
    /// The value.
    pub value: Value,
    /// Number of sessions with the value.
    pub sessions: i64,
}

/// The running sessions with the settings of one revision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPin)]
pub struct Pin {
    /// The revision.
    pub revision: i64,
    /// Number of sessions with the revision.
    pub sessions: i64,
    /// Latest expiry of the sessions.
    pub drained_by: DateTime<Utc>,
}

/// Counts the sessions that are running by the database's clock.
///
/// # Errors
/// The database failed.
pub async fn pins(pool: &Pool) -> Result<Pins, TransactionError> {
    let read = async |conn: &mut Connection| {
        Ok::<_, TransactionError>((store::pins(conn).await?, store::outdated(conn).await?))
    };
    let (rows, outdated) = database::read_with_retry(pool, read).await?;
    // Every row has the newest revision; without sessions a single row remains.
    let revision = rows.first().map_or(0, |row| row.head);
    let pins: Vec<Pin> = rows.iter().filter_map(Pin::of).collect();
    let total = pins.iter().map(|pin| pin.sessions).sum();
    Ok(Pins { revision, total, pins, settings: by_key(outdated) })
}

/// Groups `rows`, which are sorted by key, by key.
fn by_key(rows: Vec<OutdatedRow>) -> Vec<OutdatedSetting> {
    let mut settings: Vec<OutdatedSetting> = Vec::new();
    for OutdatedRow { key, version, value, held_version, held_proposal, held, sessions } in rows {
        let older =
            PinnedValue { version: held_version, proposal: held_proposal, value: held, sessions };
        if let Some(setting) = settings.last_mut().filter(|setting| setting.key == key) {
            setting.sessions += sessions;
            setting.held.push(older);
        } else {
            let older = vec![older];
            settings.push(OutdatedSetting { key, version, value, sessions, held: older });
        }
    }
    settings
}

impl Pin {
    /// Returns `None` for the row without sessions.
    fn of(row: &PinRow) -> Option<Self> {
        let &PinRow { revision, sessions, drained_by, .. } = row;
        Some(Self { revision: revision?, sessions: sessions?, drained_by: drained_by? })
    }
}
