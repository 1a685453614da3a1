//! A request for a session start, and the result.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{
    database::Pool,
    ids::RequestId,
    metrics::Metrics,
    outbox::Outbox,
    sessions::{
        eligibility::User,
        plans::Plans,
        realtime::{MintedSecret, Realtime},
        session::Session,
        start::queue::{InsertQueue, STUCK},
    },
};

/// The external services and the rate limit of session starts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionStarter(pub(super) Arc<Services>);

#[derive(Debug)]
pub(super) struct Services {
    pub(super) plans: Option<Plans>,
    pub(super) realtime: Option<Realtime>,
    pub(super) per_minute: NonZeroU32,
    pub(super) outbox: Outbox,
    pub(super) queue: InsertQueue,
}

impl SessionStarter {
    /// Creates a starter that allows `per_minute` attempts per user and minute; messages go to `outbox`.
    ///
    /// Without `plans`, plan and level come from the request. Without `realtime`, no client secret is created.
    #[must_use]
    pub fn new(
        plans: Option<Plans>,
        realtime: Option<Realtime>,
        per_minute: NonZeroU32,
        outbox: Outbox,
        metrics: Metrics,
    ) -> Self {
        let queue = InsertQueue::new(metrics, STUCK);
        Self(Arc::new(Services { plans, realtime, per_minute, outbox, queue }))
    }

    /// Returns a starter with the same services, and a queue of its own in which a statement that waits for a lock counts
    /// as stuck after `stuck_after`.
    #[must_use]
    pub fn with_stuck_after(&self, stuck_after: Duration, metrics: Metrics) -> Self {
        let Services { plans, realtime, per_minute, outbox, .. } = &*self.0;
        Self(Arc::new(Services {
            plans: plans.clone(),
            realtime: realtime.clone(),
            per_minute: *per_minute,
            outbox: outbox.clone(),
            queue: InsertQueue::new(metrics, stuck_after),
        }))
    }
}

/// A request for a session start.
#[derive(Debug, Clone)]
pub struct Request {
    /// The user, with plan and level as in the token or in the body of an internal service.
    pub user: User,
    /// The key by which a repeated request is recognized.
    pub idempotency_key: Option<String>,
    /// The id of the request, for external services.
    pub id: RequestId,
    /// Time of the request.
    pub now: DateTime<Utc>,
    /// Deadline of the response.
    pub due: Instant,
}

/// A started session.
#[derive(Debug)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// Whether an earlier request with the same idempotency key started the session.
    pub replayed: bool,
    /// The client secret of the realtime provider; absent in a replay.
    pub realtime: Option<MintedSecret>,
}

/// An inserted session with status `starting`.
pub(super) struct StartingSession<'a> {
    pub(super) pool: &'a Pool,
    pub(super) request: &'a Request,
    pub(super) session: &'a Session,
}
