//! Delivers stored messages: one worker per sink at a time, in order, at least once, and outside of any transaction.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::{select, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    config::Delivery,
    database::{self, Pool, TransactionError},
    metrics::{DeliveryOutcome, Metrics},
    outbox::{
        message::Message,
        queue::Outbox,
        sink::{DeliveryError, Sink},
        store::{self, DeliveryResult, SinkLease, WaitingMessage},
    },
};

/// The longest backoff before a retry.
const MAX_BACKOFF: Duration = Duration::from_hours(1);

/// Delivers to the sinks of this instance. Cheap to clone.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Worker").field(&self.0.sinks).finish()
    }
}

struct Inner {
    pool: Pool,
    outbox: Outbox,
    sinks: Vec<Sink>,
    delivery: Delivery,
    metrics: Metrics,
    has_sessions: HasSessions,
    /// Identifies the leases of this worker.
    lease: Uuid,
}

/// Returns whether the catalog declares sessions; a callback, because the outbox may not import settings.
pub type HasSessions = Box<dyn Fn() -> bool + Send + Sync>;

/// When the next round of a sink is due.
enum NextRound {
    Immediately,
    After(Duration),
    /// At the next wake-up or poll.
    OnWakeUp,
}

/// How to proceed after a message.
#[derive(PartialEq, Eq)]
enum Step {
    /// Deliver the next message.
    Continue,
    /// Stop: the message must be retried before later ones.
    Hold,
    /// Stop: another worker has the lease.
    LeaseLost,
}

impl Worker {
    /// Creates a worker for `sinks`; messages mention sessions while `has_sessions` returns true.
    #[must_use]
    pub fn new(
        pool: Pool,
        outbox: Outbox,
        sinks: Vec<Sink>,
        delivery: Delivery,
        metrics: Metrics,
        has_sessions: HasSessions,
    ) -> Self {
        let lease = Uuid::now_v7();
        Self(Arc::new(Inner { pool, outbox, sinks, delivery, metrics, has_sessions, lease }))
    }

    /// Delivers until `shutdown`, and completes the delivery in progress.
    pub async fn run(self, shutdown: CancellationToken) {
        join_all(self.0.sinks.iter().map(|sink| self.serve(sink, &shutdown))).await;
    }

    /// Releases every lease, so that other workers need not wait for the expiry.
    ///
    /// # Errors
    /// The database is unavailable; then the leases expire.
    pub async fn leave(&self) -> Result<(), TransactionError> {
        self.release(None).await
    }

    async fn serve(&self, sink: &Sink, shutdown: &CancellationToken) {
        let mut wake_ups = self.0.outbox.wake_ups();
        let mut is_healthy = true;
        while !shutdown.is_cancelled() {
            // Before the round: a message committed during the round must trigger another.
            wake_ups.mark_unchanged();
            let next = self.round(sink, shutdown).await;
            log_transition(sink, next.as_ref().err(), &mut is_healthy);
            // Jittered, so that the workers of a fleet do not poll at the same moment.
            let interval = jittered(self.0.delivery.interval, 0.9..1.1);
            let pause = match next {
                Ok(NextRound::Immediately) => continue,
                // A retry by an administrator may make the message due earlier without a wake-up.
                Ok(NextRound::After(pause)) => pause.min(interval),
                Ok(NextRound::OnWakeUp) | Err(_) => interval,
            };
            select! {
                () = shutdown.cancelled() => (),
                _ = wake_ups.changed() => (),
                () = time::sleep(pause) => (),
            }
        }
    }

    /// Delivers a batch to `sink` if a message is due and no other worker has the lease.
    async fn round(
        &self,
        sink: &Sink,
        shutdown: &CancellationToken,
    ) -> Result<NextRound, TransactionError> {
        let Inner { pool, delivery, lease, .. } = &*self.0;
        // Read before claiming: most rounds find nothing due, and need no write.
        let next = database::read_with_retry(pool, async |conn| {
            store::next_message(conn, sink.name(), sink.address_digest()).await
        })
        .await?;
        let is_disabled = next.as_ref().is_some_and(|next| next.is_sink_disabled);
        self.log_disabled(sink, is_disabled);
        match next {
            None => return Ok(NextRound::OnWakeUp),
            // Only an operator or another address can enable the sink.
            Some(_) if is_disabled => return Ok(NextRound::OnWakeUp),
            Some(next) if next.wait > 0.0 => {
                let pause = Duration::try_from_secs_f64(next.wait).unwrap_or(MAX_BACKOFF);
                return Ok(NextRound::After(pause));
            }
            Some(_) => (),
        }
        let is_claimed = database::read_with_retry(pool, async |conn| {
            store::claim(conn, sink.name(), *lease, delivery.lease).await
        })
        .await?;
        // Another worker delivers to the sink; this one only takes over when the lease expires.
        if !is_claimed {
            return Ok(NextRound::OnWakeUp);
        }
        let result = self.deliver_batch(sink, shutdown).await;
        // Released early, so that another worker need not wait for the expiry.
        if !matches!(result, Ok(true)) {
            self.release(Some(sink.name())).await?;
        }
        result.map(|_| NextRound::Immediately)
    }

    /// Delivers the first messages of `sink`, whose lease is held; returns whether to keep the lease.
    async fn deliver_batch(
        &self,
        sink: &Sink,
        shutdown: &CancellationToken,
    ) -> Result<bool, TransactionError> {
        let limit = self.0.delivery.batch;
        let batch = database::read_with_retry(&self.0.pool, async |conn| {
            store::batch(conn, sink.name(), limit.into()).await
        })
        .await?;
        let is_full = batch.len() == usize::from(limit);
        for message in batch {
            // Messages are delivered in order, so one that is not due holds back the rest.
            if shutdown.is_cancelled() || !message.is_due {
                return Ok(false);
            }
            if self.deliver(sink, message).await? != Step::Continue {
                return Ok(false);
            }
        }
        // A full batch hints at more messages, so the lease is kept for the next round.
        Ok(is_full)
    }

    async fn deliver(
        &self,
        sink: &Sink,
        waiting: WaitingMessage,
    ) -> Result<Step, TransactionError> {
        let WaitingMessage { id, topic, payload, created_at, attempts, .. } = waiting;
        let has_sessions = (self.0.has_sessions)();
        let older_sessions =
            if has_sessions { self.older_sessions(&topic, &payload).await? } else { None };
        let message = Message { id, topic, payload, at: created_at, has_sessions, older_sessions };
        // Half of the lease makes an overlap with another worker unlikely; receivers discard duplicates by id.
        let limit = self.0.delivery.lease / 2;
        let result = time::timeout(limit, sink.deliver(&message)).await;
        let Err(err) = result.unwrap_or_else(|_| Err(DeliveryError::later("timed out"))) else {
            return self.settle(sink, &message, "delivered", attempts + 1, None).await;
        };
        debug!(sink = sink.name(), id = %message.id, error = %err, "delivery failed");
        let text = err.to_string();
        match err {
            DeliveryError::Gone(reason) => {
                // The message keeps waiting, so nothing is lost when the address is replaced.
                self.disable(sink, &reason).await?;
                Ok(Step::Hold)
            }
            DeliveryError::Later { after: Some(pause), .. } => {
                // The sink asked for the pause, so the attempt does not count.
                self.retry_later(sink, &message, attempts, &text, pause).await
            }
            DeliveryError::Later { after: None, .. }
                if attempts < self.0.delivery.max_retries.into() =>
            {
                let pause = self.backoff(attempts);
                self.retry_later(sink, &message, attempts + 1, &text, pause).await
            }
            DeliveryError::Later { .. } | DeliveryError::Refused(_) => {
                warn!(sink = sink.name(), id = %message.id, topic = message.topic, error = text,
                    "delivery abandoned; retry with `POST /admin/outbox/{{id}}/retry`");
                self.settle(sink, &message, "dead", attempts + 1, Some(&text)).await
            }
        }
    }

    /// Returns the pause before the next attempt, with exponential backoff.
    fn backoff(&self, attempts: i32) -> Duration {
        // Saturating, because up to 100 retries may be configured.
        let factor = 2_u32.saturating_pow(attempts.unsigned_abs());
        let limit = self.0.delivery.retry_base.saturating_mul(factor).min(MAX_BACKOFF);
        // Full jitter, so that workers that failed together do not retry together.
        jittered(limit, 0.0..1.0)
    }

    async fn older_sessions(
        &self,
        topic: &str,
        payload: &Value,
    ) -> Result<Option<i64>, TransactionError> {
        // Counted on delivery, when sessions may have ended since the change.
        let revision = payload["revision"].as_i64();
        // Payloads of sessions have a revision too, but report no change of settings.
        let Some(revision) = revision.filter(|_| topic.starts_with("settings.")) else {
            return Ok(None);
        };
        let count = async |conn: &mut _| store::older_sessions(conn, revision).await;
        database::read_with_retry(&self.0.pool, count).await.map(Some)
    }

    async fn retry_later(
        &self,
        sink: &Sink,
        message: &Message,
        attempts: i32,
        error: &str,
        pause: Duration,
    ) -> Result<Step, TransactionError> {
        self.0.metrics.delivery(sink.name(), DeliveryOutcome::Retried);
        let result = DeliveryResult { status: "waiting", attempts, pause, error: Some(error) };
        let is_recorded = self.record_result(sink, message.id, &result).await?;
        Ok(if is_recorded { Step::Hold } else { Step::LeaseLost })
    }

    async fn settle(
        &self,
        sink: &Sink,
        message: &Message,
        status: &str,
        attempts: i32,
        error: Option<&str>,
    ) -> Result<Step, TransactionError> {
        let is_delivered = error.is_none();
        let outcome = if is_delivered { DeliveryOutcome::Delivered } else { DeliveryOutcome::Dead };
        // Counted even if the lease was lost, because the sink was called.
        self.0.metrics.delivery(sink.name(), outcome);
        let result = DeliveryResult { status, attempts, pause: Duration::ZERO, error };
        let is_recorded = self.record_result(sink, message.id, &result).await?;
        Ok(if is_recorded { Step::Continue } else { Step::LeaseLost })
    }

    /// Records the result of the message `id`; returns whether the lease was still held.
    async fn record_result(
        &self,
        sink: &Sink,
        id: Uuid,
        result: &DeliveryResult<'_>,
    ) -> Result<bool, TransactionError> {
        let lease = self.lease(sink);
        let is_recorded = database::read_with_retry(&self.0.pool, async |conn| {
            store::record_result(conn, lease, id, result).await
        })
        .await?;
        if !is_recorded {
            debug!(sink = sink.name(), %id, "lease lost: another worker has the sink");
        }
        Ok(is_recorded)
    }

    async fn disable(&self, sink: &Sink, reason: &str) -> Result<(), TransactionError> {
        // Counted as retried, because the message is delivered once the sink is enabled.
        self.0.metrics.delivery(sink.name(), DeliveryOutcome::Retried);
        let lease = self.lease(sink);
        database::read_with_retry(&self.0.pool, async |conn| {
            store::disable_sink(conn, lease, sink.address_digest(), reason).await
        })
        .await
    }

    /// Logs when a sink becomes disabled or enabled.
    fn log_disabled(&self, sink: &Sink, is_disabled: bool) {
        if !self.0.outbox.set_disabled(sink.name(), is_disabled) {
            return;
        }
        let sink = sink.name();
        if is_disabled {
            error!(sink, "sink disabled until its address changes or a message is retried");
        } else {
            info!(sink, "sink enabled again");
        }
    }

    async fn release(&self, sink: Option<&str>) -> Result<(), TransactionError> {
        let lease = self.0.lease;
        let release = async |conn: &mut _| store::release(conn, lease, sink).await;
        database::read_with_retry(&self.0.pool, release).await
    }

    fn lease<'a>(&self, sink: &'a Sink) -> SinkLease<'a> {
        SinkLease { sink: sink.name(), id: self.0.lease, term: self.0.delivery.lease }
    }
}

/// Logs when the database becomes unavailable for deliveries, and available again.
fn log_transition(sink: &Sink, error: Option<&TransactionError>, is_healthy: &mut bool) {
    let sink = sink.name();
    match error {
        Some(err) if *is_healthy => {
            let error = err as &dyn Error;
            warn!(sink, error, "deliveries stopped: the database is unavailable");
        }
        None if !*is_healthy => info!(sink, "deliveries resumed"),
        _ => (),
    }
    *is_healthy = error.is_none();
}
