//! Waiting until every live instance has applied a revision.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};
use tracing::debug;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Pool, TransactionError},
    fleet::{
        Fleet,
        store::{self, HeartbeatRow},
    },
    settings::GlobalSettingsService,
};

/// The pause between the first two looks; each one after it is half as long again.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest one.
const LONGEST: Duration = Duration::from_millis(25);
/// The pause after a look that failed.
const AWAY: Duration = Duration::from_millis(100);

/// How far a revision got while somebody waited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Applied {
    /// How many instances were live at the write, and so waited for; null when the database did not say.
    #[schema(required)]
    pub instances: Option<usize>,
    /// Milliseconds from the commit until all of them had it, or until the wait was over.
    pub waited_ms: u64,
    /// Those that are live and did not say that they have it. Empty with status 200.
    pub laggards: Vec<Laggard>,
}

impl Applied {
    /// Whether every instance is known to have it.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.instances.is_some() && self.laggards.is_empty()
    }
}

/// An instance that does not have the revision yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Laggard {
    /// Its id, as `/admin/instances` has it.
    pub id: Uuid,
    /// The machine it runs on.
    pub host: String,
    /// The revision it had when it was last heard of.
    pub revision: i64,
}

/// What was last seen of the fleet, and when the look began. All who wait share it, so that a crowd of them
/// asks no more than one.
#[derive(Debug, Default)]
pub(super) struct View(Mutex<Option<(Instant, Arc<Vec<HeartbeatRow>>)>>);

impl View {
    /// The live instances, as they were at `since` or later.
    async fn since(
        &self,
        since: Instant,
        pool: &Pool,
        silence: Duration,
    ) -> Result<Arc<Vec<HeartbeatRow>>, TransactionError> {
        let mut last = self.0.lock().await;
        if let Some((_, seen)) = last.as_ref().filter(|(begun, _)| since <= *begun) {
            return Ok(Arc::clone(seen));
        }
        let begun = Instant::now();
        let seen = database::read_with_retry(pool, async |conn| store::live(conn, silence).await);
        let seen = Arc::new(seen.await?);
        *last = Some((begun, Arc::clone(&seen)));
        Ok(seen)
    }
}

impl Fleet {
    /// Waits until every instance that is live now has applied `revision`, or dies, but no longer than until
    /// `until`. It never fails: whatever it could not learn is told as not known.
    ///
    /// Those that come later are not waited for: they begin with what is committed.
    pub async fn wait(
        &self,
        pool: &Pool,
        settings: &GlobalSettingsService,
        revision: i64,
        until: Instant,
    ) -> Applied {
        let begun = Instant::now();
        let mut wait =
            Wait { fleet: self, settings, revision, awaited: None, laggards: Vec::new() };
        let (mut since, mut pause) = (begun, SHORTEST);
        loop {
            let looked = self.view().since(since, pool, self.pace().live);
            let wanted = match time::timeout_at(until, looked).await {
                Ok(Ok(seen)) => {
                    if wait.is_over(&seen) {
                        break;
                    }
                    pause
                }
                Ok(Err(err)) => {
                    debug!(error = &err as &dyn std::error::Error, "cannot see the fleet");
                    AWAY
                }
                Err(_) => break,
            };
            time::sleep_until((Instant::now() + wanted).min(until)).await;
            let now = Instant::now();
            if until <= now {
                break;
            }
            // Another's look will do if it is not old: however many wait, the looks do not grow with them.
            since = now.checked_sub(wanted / 2).unwrap_or(now);
            pause = (pause * 3 / 2).min(LONGEST);
        }
        wait.told(begun)
    }
}

/// One wait, as far as it got.
struct Wait<'a> {
    fleet: &'a Fleet,
    settings: &'a GlobalSettingsService,
    revision: i64,
    /// Who was live at the first look.
    awaited: Option<Vec<Uuid>>,
    /// Of the others, as they were last seen.
    laggards: Vec<Laggard>,
}

impl Wait<'_> {
    /// Takes in who is live now; says whether nobody is left to wait for.
    fn is_over(&mut self, seen: &[HeartbeatRow]) -> bool {
        let own = self.fleet.id();
        let awaited = self.awaited.get_or_insert_with(|| {
            // This instance is alive, whether or not its row says so.
            seen.iter().map(|it| it.id).filter(|id| *id != own).chain([own]).collect()
        });
        let lags = |it: &&HeartbeatRow| {
            it.id != own && it.applied_revision < self.revision && awaited.contains(&it.id)
        };
        let laggard = |it: &HeartbeatRow| Laggard {
            id: it.id,
            host: it.host.clone(),
            revision: it.applied_revision,
        };
        self.laggards = seen.iter().filter(lags).map(laggard).collect();
        self.laggards.is_empty() && self.own_lag().is_none()
    }

    /// This instance, if it does not have it itself: that needs no row, and no database, to be known.
    fn own_lag(&self) -> Option<Laggard> {
        let revision = self.settings.revision();
        let (id, host) = (self.fleet.id(), self.fleet.host().to_owned());
        (revision < self.revision).then_some(Laggard { id, host, revision })
    }

    fn told(self, begun: Instant) -> Applied {
        let waited_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let own = self.own_lag();
        let instances = self.awaited.map(|it| it.len());
        Applied { instances, waited_ms, laggards: self.laggards.into_iter().chain(own).collect() }
    }
}
