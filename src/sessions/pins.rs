//! Which revisions running sessions hold: how far a change has drained.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::{self, Failure, Pool},
    sessions::store::{self, PinRow},
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
pub async fn pins(pool: &Pool) -> Result<Pins, Failure> {
    let rows =
        database::look(pool, async |conn| Ok::<_, Failure>(store::pins(conn).await?)).await?;
    let revision = rows.first().map_or(0, |row| row.head);
    let pins: Vec<Pin> = rows.iter().filter_map(Pin::of).collect();
    Ok(Pins { revision, total: pins.iter().map(|it| it.sessions).sum(), pins })
}

impl Pin {
    /// `None` for the head of a service without sessions.
    fn of(row: &PinRow) -> Option<Self> {
        let &PinRow { revision, sessions, drained_by, .. } = row;
        Some(Self { revision: revision?, sessions: sessions?, drained_by: drained_by? })
    }
}
