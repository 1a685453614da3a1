//! This instance as a member of the fleet, and the listing of all members.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    fleet::{
        level::{FeatureLevel, OutdatedInstance},
        store::{self, Heartbeat, Row},
        view::View,
    },
    outbox::{Outbox, Topic},
};

/// The interval of heartbeats and the timeouts of instances.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatPolicy {
    /// Interval between heartbeats without changes.
    pub beat: Duration,
    /// Time without a heartbeat after which an instance is not live. Three intervals: one heartbeat may be lost
    /// and one late.
    pub live: Duration,
    /// Time without a heartbeat after which the row is deleted.
    pub forget: Duration,
    /// Average time until an applied revision without a waiting writer is acknowledged.
    pub acknowledgement: Duration,
}

impl Default for HeartbeatPolicy {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(2),
            live: Duration::from_secs(6),
            // Much longer than `live`: a short outage of the database reports no instance as lost.
            forget: Duration::from_mins(1),
            // Much longer than the way of a change to all instances, and too short to be seen in a list.
            acknowledgement: Duration::from_millis(100),
        }
    }
}

/// This instance as a member of the fleet. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: Uuid,
    host: String,
    started_at: DateTime<Utc>,
    policy: HeartbeatPolicy,
    view: View,
}

impl Fleet {
    /// Creates a member on `host`, started at `started_at`, which is invisible until the first
    /// [heartbeat](Self::join).
    #[must_use]
    pub fn new(host: &str, started_at: DateTime<Utc>, policy: HeartbeatPolicy) -> Self {
        let (id, host) = (Uuid::now_v7(), host.to_owned());
        Self(Arc::new(Inner { id, host, started_at, policy, view: View::default() }))
    }

    /// Returns the unique id of this instance; a restarted instance has a new id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// Returns the host name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn policy(&self) -> HeartbeatPolicy {
        self.0.policy
    }

    pub(super) fn view(&self) -> &View {
        &self.0.view
    }

    /// Stores a heartbeat with the applied `revision`. Idempotent, so a retry on another connection is safe.
    ///
    /// # Errors
    /// The database failed.
    pub async fn join(&self, pool: &Pool, revision: i64) -> Result<(), TransactionError> {
        let heartbeat = Heartbeat {
            id: self.0.id,
            host: &self.0.host,
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.0.started_at,
            applied_revision: revision,
            level: FeatureLevel::OWN,
        };
        database::read_with_retry(pool, async |conn| {
            store::upsert_heartbeat(conn, &heartbeat).await
        })
        .await
    }

    /// Returns the live instances of releases that cannot read data of `level`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn outdated(
        &self,
        pool: &Pool,
        level: FeatureLevel,
    ) -> Result<Vec<OutdatedInstance>, TransactionError> {
        let max_age = self.0.policy.live;
        database::read_with_retry(pool, async |conn| store::outdated(conn, max_age, level).await)
            .await
    }

    /// Whether every live instance can read data of `level`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn can_read(
        &self,
        pool: &Pool,
        level: FeatureLevel,
    ) -> Result<bool, TransactionError> {
        // An empty fleet has no instance that could fail to read.
        Ok(self.outdated(pool, level).await?.is_empty())
    }

    /// Deletes the row, so that no writer waits for this instance anymore.
    ///
    /// # Errors
    /// The database failed.
    pub async fn leave(&self, pool: &Pool) -> Result<(), TransactionError> {
        let id = self.0.id;
        database::read_with_retry(pool, async |conn| store::delete(conn, id).await).await
    }

    /// Deletes expired instances, enqueues one `instance.unhealthy` message for each, and returns the count.
    ///
    /// Deletion and message share a transaction, so that exactly one instance reports the expiry.
    pub(super) async fn delete_expired(
        &self,
        pool: &Pool,
        outbox: &Outbox,
    ) -> Result<usize, TransactionError> {
        let max_age = self.0.policy.forget;
        let deadline = Deadline::standard();
        let mut transaction = Transaction::begin(pool, deadline).await?;
        let conn = transaction.conn();
        let deletion = async {
            let expired = store::delete_expired(conn, max_age).await?;
            for instance in &expired {
                let payload = json!({
                    "what": "silent",
                    "instance": instance.id,
                    "host": instance.host,
                    "version": instance.version,
                    "seen_at": instance.seen_at,
                });
                // In the transaction of the deletion, so that no expiry is lost or reported twice.
                outbox.enqueue(conn, Topic::InstanceUnhealthy, &payload).await?;
            }
            Ok::<_, TransactionError>(expired.len())
        };
        let result = deadline.within(deletion).await;
        let count = transaction.finish(result, OnSuccess::Commit).await?;
        // After the commit, because the worker cannot see uncommitted messages.
        if count > 0 {
            outbox.wake();
        }
        Ok(count)
    }

    /// Enqueues a message about the invalid `keys` of the settings; without keys, about valid settings.
    pub(super) async fn report_validity(
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
            // Bounded, because a broken catalog may invalidate thousands of keys.
            "keys": keys.iter().take(50).collect::<Vec<_>>(),
            "total": keys.len(),
        });
        let deadline = Deadline::standard();
        let mut transaction = Transaction::begin(pool, deadline).await?;
        let conn = transaction.conn();
        let message = async {
            Ok::<_, TransactionError>(
                outbox.enqueue(conn, Topic::InstanceUnhealthy, &payload).await?,
            )
        };
        let result = deadline.within(message).await;
        transaction.finish(result, OnSuccess::Commit).await?;
        outbox.wake();
        Ok(())
    }
}

/// The instances of one database.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instances)]
pub struct Listing {
    /// The newest revision of the settings.
    pub revision: i64,
    /// The instances, sorted by start time.
    pub instances: Vec<Member>,
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct Member {
    /// The unique id; new with each start.
    pub id: Uuid,
    /// The host name.
    pub host: String,
    /// The release.
    pub version: String,
    /// Start time, by the instance's clock.
    pub started_at: DateTime<Utc>,
    /// The applied revision of the settings.
    pub applied_revision: i64,
    /// Number of revisions behind the newest.
    pub revisions_behind: i64,
    /// Time of the latest heartbeat, by the database's clock.
    pub seen_at: DateTime<Utc>,
    /// Milliseconds since the latest heartbeat.
    pub seen_ms_ago: i64,
    /// Whether the instance is live: counted, and awaited by writers.
    pub live: bool,
    /// Whether the instance answered the request.
    #[serde(rename = "self")]
    pub is_self: bool,
}

/// Returns all instances that have not expired.
///
/// # Errors
/// The database failed.
pub async fn members(pool: &Pool, fleet: &Fleet) -> Result<Listing, TransactionError> {
    let max_age = fleet.0.policy.live;
    let rows = database::read_with_retry(pool, async |conn| store::all(conn, max_age).await);
    let rows = rows.await?;
    // Each row repeats the head, and the table of the head always has a row.
    let revision = rows.first().map_or(0, |row| row.head);
    let member = |row| Member::of(row, fleet.0.id);
    Ok(Listing { revision, instances: rows.into_iter().filter_map(member).collect() })
}

impl Member {
    /// Returns `None` for the row without an instance of an empty fleet.
    fn of(row: Row, own_id: Uuid) -> Option<Self> {
        let id = row.id?;
        let applied_revision = row.applied_revision?;
        Some(Self {
            id,
            host: row.host?,
            version: row.version?,
            started_at: row.started_at?,
            applied_revision,
            // A database restored from a backup may be behind the instance.
            revisions_behind: (row.head - applied_revision).max(0),
            seen_at: row.seen_at?,
            // The statement may have read the clock before a concurrent heartbeat.
            seen_ms_ago: row.seen_ms_ago?.max(0),
            live: row.live?,
            is_self: id == own_id,
        })
    }
}
