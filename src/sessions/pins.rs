//! Which revisions running sessions hold: how far a change has drained.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    database::{self, Connection, Pool, TransactionError},
    sessions::store::{self, PinRow, PinnedSessionRow},
};

/// The running sessions by the revision they hold.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPins)]
pub struct Pins {
    /// The newest revision of the settings.
    pub revision: i64,
    /// How many sessions run.
    pub total: i64,
    /// By revision, the newest first; one that no running session holds is left out.
    pub pins: Vec<Pin>,
    /// The settings of which running sessions hold another value than the current one, by key. Those that apply
    /// hot are not held by sessions.
    pub settings: Vec<OutdatedSessions>,
}

/// A setting of which running sessions hold an older value.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPinnedSetting)]
pub struct OutdatedSessions {
    /// Its key.
    pub key: String,
    /// The current version.
    pub version: i32,
    /// The current value.
    pub value: Value,
    /// How many sessions hold another value.
    pub sessions: i64,
    /// Those values, the newest version first.
    pub held: Vec<PinnedSession>,
}

/// A value that sessions hold and that is not the current one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPinnedValue)]
pub struct PinnedSession {
    /// Its version.
    pub version: i32,
    /// The value.
    pub value: Value,
    /// How many sessions hold it.
    pub sessions: i64,
}

/// The running sessions that hold one revision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPin)]
pub struct Pin {
    /// The revision.
    pub revision: i64,
    /// How many sessions hold it.
    pub sessions: i64,
    /// When the last of them is over at the latest.
    pub drained_by: DateTime<Utc>,
}

/// The sessions that run now, by the database's clock.
pub async fn pins(pool: &Pool) -> Result<Pins, TransactionError> {
    let read = async |conn: &mut Connection| {
        Ok::<_, TransactionError>((store::pins(conn).await?, store::held(conn).await?))
    };
    let (rows, held) = database::read_with_retry(pool, read).await?;
    let revision = rows.first().map_or(0, |row| row.head);
    let pins: Vec<Pin> = rows.iter().filter_map(Pin::of).collect();
    let total = pins.iter().map(|it| it.sessions).sum();
    Ok(Pins { revision, total, pins, settings: by_key(held) })
}

/// `rows`, which are sorted by key, with one entry for each key.
fn by_key(rows: Vec<PinnedSessionRow>) -> Vec<OutdatedSessions> {
    let mut settings: Vec<OutdatedSessions> = Vec::new();
    for PinnedSessionRow { key, version, value, held_version, held, sessions } in rows {
        let held = PinnedSession { version: held_version, value: held, sessions };
        match settings.last_mut().filter(|it| it.key == key) {
            Some(known) => {
                known.sessions += sessions;
                known.held.push(held);
            }
            None => {
                settings.push(OutdatedSessions { key, version, value, sessions, held: vec![held] });
            }
        }
    }
    settings
}

impl Pin {
    /// `None` for the head of a service without sessions.
    fn of(row: &PinRow) -> Option<Self> {
        let &PinRow { revision, sessions, drained_by, .. } = row;
        Some(Self { revision: revision?, sessions: sessions?, drained_by: drained_by? })
    }
}
