//! Waiting until every live instance has applied a revision.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{self, Instant};
use tracing::debug;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::Pool,
    fleet::{member::Fleet, store::HeartbeatRow},
    settings::GlobalSettingsService,
};

/// The first polling interval. Most fleets have applied a change after a few milliseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(1);
/// The longest polling interval.
const MAX_INTERVAL: Duration = Duration::from_millis(25);
/// The time waited so far is divided by this number to get the next polling interval: a response is late by at most a
/// fourth of the wait, and the number of polls grows with the logarithm of the wait.
///
/// Acknowledgements do not notify: Postgres wakes every listening session of the database for every notification, so a
/// change would wake each of N instances N times. Polling costs the waiting instance one query of N rows each time, shared
/// by all of its waiting requests, and the other instances nothing.
const POLLS_PER_ELAPSED_TIME: u32 = 4;
/// The pause after a failed query.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// The progress of a revision through the fleet at the end of a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Applied {
    /// Number of instances that were live at the write; null if the database did not answer.
    #[schema(required)]
    pub instances: Option<usize>,
    /// Milliseconds from the commit until all instances had applied the revision, or until the timeout.
    pub waited_ms: u64,
    /// Live instances that have not reported the revision. Empty with status 200.
    pub laggards: Vec<Laggard>,
}

impl Applied {
    /// Whether every instance has applied the revision.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.instances.is_some() && self.laggards.is_empty()
    }
}

/// An instance that has not applied the revision yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Laggard {
    /// The id, as in `/admin/instances`.
    pub id: Uuid,
    /// The host name.
    pub host: String,
    /// The revision of the latest heartbeat.
    pub revision: i64,
}

impl Fleet {
    /// Waits until every instance that is live now has applied `revision` or is no longer live, at most until
    /// `until`. Never fails: missing information is reported as unknown.
    ///
    /// Instances that start later are not awaited, because a new instance reads the committed state.
    pub async fn wait(
        &self,
        pool: &Pool,
        settings: &GlobalSettingsService,
        revision: i64,
        until: Instant,
    ) -> Applied {
        let started_at = Instant::now();
        let mut wait =
            Wait { fleet: self, settings, revision, awaited: None, laggards: Vec::new() };
        let mut since = started_at;
        let mut interval = MIN_INTERVAL;
        loop {
            let query = self.view().since(since, pool, self.policy().live);
            // The query counts against the timeout too.
            let pause = match time::timeout_at(until, query).await {
                Ok(Ok(rows)) => {
                    if wait.is_over(&rows) {
                        break;
                    }
                    interval
                }
                Ok(Err(err)) => {
                    debug!(
                        error = &err as &dyn std::error::Error,
                        "query for live instances failed"
                    );
                    PAUSE_AFTER_ERROR
                }
                Err(_) => break,
            };
            time::sleep_until((Instant::now() + pause).min(until)).await;
            let now = Instant::now();
            if now >= until {
                break;
            }
            // A recent query of another waiter suffices, so the query rate does not grow with the waiters.
            since = now.checked_sub(pause / 2).unwrap_or(now);
            interval =
                (started_at.elapsed() / POLLS_PER_ELAPSED_TIME).clamp(MIN_INTERVAL, MAX_INTERVAL);
        }
        wait.into_applied(started_at)
    }
}

/// The state of a wait.
struct Wait<'a> {
    fleet: &'a Fleet,
    settings: &'a GlobalSettingsService,
    revision: i64,
    /// Instances that were live at the first query.
    awaited: Option<Vec<Uuid>>,
    /// Other instances that lagged at the latest query.
    laggards: Vec<Laggard>,
}

impl Wait<'_> {
    /// Updates the laggards. Returns whether all awaited instances have applied the revision.
    fn is_over(&mut self, rows: &[HeartbeatRow]) -> bool {
        let own_id = self.fleet.id();
        let awaited = self.awaited.get_or_insert_with(|| {
            // This instance is live even without a recent heartbeat.
            rows.iter().map(|row| row.id).filter(|id| *id != own_id).chain([own_id]).collect()
        });
        // The own row is skipped, because the revision in memory is at least as new.
        let lags = |row: &&HeartbeatRow| {
            row.id != own_id && row.applied_revision < self.revision && awaited.contains(&row.id)
        };
        let laggard = |row: &HeartbeatRow| Laggard {
            id: row.id,
            host: row.host.clone(),
            revision: row.applied_revision,
        };
        self.laggards = rows.iter().filter(lags).map(laggard).collect();
        self.laggards.is_empty() && self.own_lag().is_none()
    }

    /// Returns this instance if the revision is not applied, from memory and without the database.
    fn own_lag(&self) -> Option<Laggard> {
        let revision = self.settings.revision();
        let id = self.fleet.id();
        let host = self.fleet.host().to_owned();
        (revision < self.revision).then_some(Laggard { id, host, revision })
    }

    fn into_applied(self, started_at: Instant) -> Applied {
        let waited_ms = u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Read last, because the revision may have been applied during the final query.
        let own_lag = self.own_lag();
        let instances = self.awaited.map(|ids| ids.len());
        let laggards = self.laggards.into_iter().chain(own_lag).collect();
        Applied { instances, waited_ms, laggards }
    }
}
