//! This instance as one of the fleet, and the others as it sees them.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    fleet::{
        store::{self, Beat, Row},
        wait::View,
    },
    outbox::{Outbox, Topic},
};

/// How often an instance says that it is there, and when the others stop believing it.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatPolicy {
    /// Between two heartbeats, while nothing changes.
    pub beat: Duration,
    /// After so much silence an instance is not live. Three heartbeats: one may be lost, one may be late.
    pub live: Duration,
    /// After so much silence its row is deleted.
    pub forget: Duration,
}

impl Default for HeartbeatPolicy {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(2),
            live: Duration::from_secs(6),
            forget: Duration::from_mins(1),
        }
    }
}

/// This instance's place in the fleet. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Uuid,
    host: String,
    started_at: DateTime<Utc>,
    pace: HeartbeatPolicy,
    view: View,
}

impl Fleet {
    /// The place of an instance on `host` that was started at `started_at`. Nobody sees it before its first
    /// [heartbeat](Self::join).
    #[must_use]
    pub fn new(host: &str, started_at: DateTime<Utc>, pace: HeartbeatPolicy) -> Self {
        let (id, host) = (Uuid::now_v7(), host.to_owned());
        Self(Arc::new(Inner { id, host, started_at, pace, view: View::default() }))
    }

    /// What tells this instance from the others, those of the same host and those before it included.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// The machine it runs on.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn pace(&self) -> HeartbeatPolicy {
        self.0.pace
    }

    pub(super) fn view(&self) -> &View {
        &self.0.view
    }

    /// Writes that this instance is there and has applied `revision`. Repeated it says the same, so it may be
    /// tried again on another connection.
    pub async fn join(&self, pool: &Pool, revision: i64) -> Result<(), TransactionError> {
        let beat = Beat {
            id: self.0.id,
            host: &self.0.host,
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.0.started_at,
            applied_revision: revision,
        };
        database::read_with_retry(pool, async |conn| store::beat(conn, &beat).await).await
    }

    /// Takes the row out, so that nobody waits for what is gone.
    pub async fn leave(&self, pool: &Pool) -> Result<(), TransactionError> {
        let id = self.0.id;
        database::read_with_retry(pool, async |conn| store::delete(conn, id).await).await
    }

    /// Deletes the rows of those that are long gone, and leaves word of each; says how many there were. Whoever
    /// deletes a row is the one that tells of it, so that nobody else does.
    pub(super) async fn forget(
        &self,
        pool: &Pool,
        outbox: &Outbox,
    ) -> Result<usize, TransactionError> {
        let silence = self.0.pace.forget;
        let deadline = Deadline::standard();
        let mut work = Transaction::begin(pool, deadline).await?;
        let conn = work.conn();
        let told = async {
            let silent = store::forget(conn, silence).await?;
            for gone in &silent {
                let payload = json!({
                    "what": "silent",
                    "instance": gone.id,
                    "host": gone.host,
                    "version": gone.version,
                    "seen_at": gone.seen_at,
                });
                outbox.enqueue(conn, Topic::InstanceUnhealthy, &payload).await?;
            }
            Ok::<_, TransactionError>(silent.len())
        };
        let told = deadline.within(told).await;
        let gone = work.finish(told, OnSuccess::Commit).await?;
        if 0 < gone {
            outbox.wake();
        }
        Ok(gone)
    }

    /// Leaves word that this instance found the settings of the database invalid, at `keys`; or, with none, that
    /// they are valid again.
    pub(super) async fn report(
        &self,
        pool: &Pool,
        outbox: &Outbox,
        keys: &[String],
    ) -> Result<(), TransactionError> {
        let payload = json!({
            "what": if keys.is_empty() { "settings_valid" } else { "settings_invalid" },
            "instance": self.0.id,
            "host": self.0.host,
            "version": env!("CARGO_PKG_VERSION"),
            "keys": keys.iter().take(50).collect::<Vec<_>>(),
            "total": keys.len(),
        });
        let deadline = Deadline::standard();
        let mut work = Transaction::begin(pool, deadline).await?;
        let conn = work.conn();
        let told = async {
            Ok::<_, TransactionError>(
                outbox.enqueue(conn, Topic::InstanceUnhealthy, &payload).await?,
            )
        };
        let told = deadline.within(told).await;
        work.finish(told, OnSuccess::Commit).await?;
        outbox.wake();
        Ok(())
    }
}

/// The instances over one database.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instances)]
pub struct Listing {
    /// The newest revision of the settings.
    pub revision: i64,
    /// The instances, the one that has run longest first.
    pub instances: Vec<Member>,
}

/// One instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct Member {
    /// What tells it from the others; a new one with each start.
    pub id: Uuid,
    /// The machine it runs on.
    pub host: String,
    /// The release it is of.
    pub version: String,
    /// When it was started, by its own clock.
    pub started_at: DateTime<Utc>,
    /// The revision it serves from.
    pub applied_revision: i64,
    /// How many revisions that is behind the newest.
    pub revisions_behind: i64,
    /// When it was last heard of, by the database's clock.
    pub seen_at: DateTime<Utc>,
    /// How many milliseconds ago that was.
    pub seen_ms_ago: i64,
    /// Whether that is lately enough to be counted and waited for.
    pub live: bool,
    /// Whether it is the one that answers.
    #[serde(rename = "self")]
    pub is_self: bool,
}

/// Every instance that is not forgotten yet, as `fleet` sees them.
pub async fn members(pool: &Pool, fleet: &Fleet) -> Result<Listing, TransactionError> {
    let silence = fleet.0.pace.live;
    let rows = database::read_with_retry(pool, async |conn| store::all(conn, silence).await);
    let rows = rows.await?;
    let revision = rows.first().map_or(0, |row| row.head);
    let member = |row| Member::of(row, fleet.0.id);
    Ok(Listing { revision, instances: rows.into_iter().filter_map(member).collect() })
}

impl Member {
    /// `None` for the head of a fleet that is empty.
    fn of(row: Row, own: Uuid) -> Option<Self> {
        let (id, applied_revision) = (row.id?, row.applied_revision?);
        Some(Self {
            id,
            host: row.host?,
            version: row.version?,
            started_at: row.started_at?,
            applied_revision,
            revisions_behind: (row.head - applied_revision).max(0),
            seen_at: row.seen_at?,
            // The statement's clock may have been read before the row's.
            seen_ms_ago: row.seen_ms_ago?.max(0),
            live: row.live?,
            is_self: id == own,
        })
    }
}
