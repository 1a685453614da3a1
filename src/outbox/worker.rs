//! Delivers what is stored: one worker for a sink at a time, in order, at least once, and never inside a
//! transaction.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{select, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    config::Delivery,
    database::{self, Pool, TransactionError},
    metrics::{Delivered, Metrics},
    outbox::{
        Message, Outbox,
        sink::{DeliveryError, Sink},
        store::{self, ClaimedBatch, Settled, Waiting},
    },
};

/// The longest pause before a repeat, however often it failed.
const LONGEST: Duration = Duration::from_hours(1);

/// Delivers for the sinks that it has an address of. Cheap to clone.
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
    /// What tells this worker's leases from all others.
    lease: Uuid,
}

/// Tells whether there are sessions now, which this floor does not know.
pub type HasSessions = Box<dyn Fn() -> bool + Send + Sync>;

/// What there is to do next.
enum Next {
    /// More, at once.
    More,
    /// Something, after so long.
    In(Duration),
    /// Nothing that is known of.
    Nothing,
}

/// How it goes on after a message.
#[derive(PartialEq, Eq)]
enum Step {
    /// With the one after it.
    On,
    /// Not before this one was tried again.
    Hold,
    /// Not at all: another worker has the sink.
    Lost,
}

impl Worker {
    /// One for `sinks`, whose messages are stored through `outbox`. They speak of sessions while `has_sessions`
    /// says that there are any.
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

    /// Delivers until `shutdown`; what is under way then is finished.
    pub async fn run(self, shutdown: CancellationToken) {
        join_all(self.0.sinks.iter().map(|sink| self.serve(sink, &shutdown))).await;
    }

    /// Gives back whatever is still held, so that another worker need not wait for it.
    ///
    /// # Errors
    /// The database is not available; the leases run out by themselves.
    pub async fn leave(&self) -> Result<(), TransactionError> {
        self.release(None).await
    }

    async fn serve(&self, sink: &Sink, shutdown: &CancellationToken) {
        let mut stored = self.0.outbox.stored();
        let mut well = true;
        while !shutdown.is_cancelled() {
            stored.mark_unchanged();
            let next = self.round(sink, shutdown).await;
            tell(sink, next.as_ref().err(), &mut well);
            let interval = jittered(self.0.delivery.interval, 0.9..1.1);
            let pause = match next {
                Ok(Next::More) => continue,
                Ok(Next::In(pause)) => pause.min(interval),
                Ok(Next::Nothing) | Err(_) => interval,
            };
            select! {
                () = shutdown.cancelled() => (),
                _ = stored.changed() => (),
                () = time::sleep(pause) => (),
            }
        }
    }

    /// Looks whether there is something to do for `sink`, and does a batch of it if no other worker does.
    async fn round(
        &self,
        sink: &Sink,
        shutdown: &CancellationToken,
    ) -> Result<Next, TransactionError> {
        let Inner { pool, delivery, lease, .. } = &*self.0;
        let look = database::read_with_retry(pool, async |conn| {
            Ok::<_, TransactionError>(store::due(conn, sink.name(), sink.address()).await?)
        });
        let due = look.await?;
        self.mark_health(sink, due.as_ref().is_some_and(|it| it.dead));
        match due {
            None => return Ok(Next::Nothing),
            Some(due) if due.dead => return Ok(Next::Nothing),
            Some(due) if 0.0 < due.wait => {
                return Ok(Next::In(Duration::try_from_secs_f64(due.wait).unwrap_or(LONGEST)));
            }
            Some(_) => (),
        }
        let taken = database::read_with_retry(pool, async |conn| {
            Ok::<_, TransactionError>(store::take(conn, sink.name(), *lease, delivery.lease).await?)
        });
        if !taken.await? {
            return Ok(Next::Nothing);
        }
        let done = self.batch(sink, shutdown).await;
        if !matches!(done, Ok(true)) {
            self.release(Some(sink.name())).await?;
        }
        done.map(|_| Next::More)
    }

    /// Delivers the first messages of `sink`, which is held; says whether to hold on to it.
    async fn batch(
        &self,
        sink: &Sink,
        shutdown: &CancellationToken,
    ) -> Result<bool, TransactionError> {
        let most = self.0.delivery.batch;
        let batch = database::read_with_retry(&self.0.pool, async |conn| {
            Ok::<_, TransactionError>(store::batch(conn, sink.name(), most.into()).await?)
        });
        let batch = batch.await?;
        let full = batch.len() == usize::from(most);
        for waiting in batch {
            if shutdown.is_cancelled() || !waiting.is_due {
                return Ok(false);
            }
            if self.deliver(sink, waiting).await? != Step::On {
                return Ok(false);
            }
        }
        Ok(full)
    }

    async fn deliver(&self, sink: &Sink, waiting: Waiting) -> Result<Step, TransactionError> {
        let Waiting { id, topic, payload, created_at, attempts, .. } = waiting;
        let has_sessions = (self.0.has_sessions)();
        let older_sessions =
            if has_sessions { self.older_sessions(&topic, &payload).await? } else { None };
        let message = Message { id, topic, payload, at: created_at, has_sessions, older_sessions };
        // Well before the lease is over: whoever takes it then must not meet this call.
        let limit = self.0.delivery.lease / 2;
        let outcome = time::timeout(limit, sink.deliver(&message)).await;
        let failed = match outcome
            .unwrap_or_else(|_| Err(DeliveryError::later("no answer in time")))
        {
            Ok(()) => return self.settle(sink, &message, "delivered", attempts + 1, None).await,
            Err(failed) => failed,
        };
        debug!(sink = sink.name(), id = %message.id, error = %failed, "a message was not delivered");
        let told = failed.to_string();
        match failed {
            DeliveryError::Gone(reason) => {
                self.disable(sink, &reason).await?;
                Ok(Step::Hold)
            }
            DeliveryError::Later { after: Some(pause), .. } => {
                self.again(sink, &message, attempts, &told, pause).await
            }
            DeliveryError::Later { after: None, .. }
                if attempts < self.0.delivery.max_retries.into() =>
            {
                let pause = self.backoff(attempts);
                self.again(sink, &message, attempts + 1, &told, pause).await
            }
            DeliveryError::Later { .. } | DeliveryError::Refused(_) => {
                warn!(sink = sink.name(), id = %message.id, topic = message.topic, error = told,
                    "gave a message up; `POST /admin/outbox/{{id}}/retry` tries it again");
                self.settle(sink, &message, "dead", attempts + 1, Some(&told)).await
            }
        }
    }

    /// Until the repeat after `attempts` of them: anything up to a bound that doubles each time, so that those
    /// who failed together do not come back together.
    fn backoff(&self, attempts: i32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.unsigned_abs());
        let most = self.0.delivery.retry_base.saturating_mul(doubled).min(LONGEST);
        jittered(most, 0.0..1.0)
    }

    async fn older_sessions(
        &self,
        topic: &str,
        payload: &serde_json::Value,
    ) -> Result<Option<i64>, TransactionError> {
        let Some(revision) =
            payload["revision"].as_i64().filter(|_| topic.starts_with("settings."))
        else {
            return Ok(None);
        };
        let count = database::read_with_retry(&self.0.pool, async |conn| {
            Ok::<_, TransactionError>(store::older_sessions(conn, revision).await?)
        });
        count.await.map(Some)
    }

    async fn again(
        &self,
        sink: &Sink,
        message: &Message,
        attempts: i32,
        error: &str,
        pause: Duration,
    ) -> Result<Step, TransactionError> {
        self.0.metrics.delivery(sink.name(), Delivered::Retried);
        let settled = Settled { status: "waiting", attempts, pause, error: Some(error) };
        let held = self.mark(sink, message.id, &settled).await?;
        Ok(if held { Step::Hold } else { Step::Lost })
    }

    async fn settle(
        &self,
        sink: &Sink,
        message: &Message,
        status: &str,
        attempts: i32,
        error: Option<&str>,
    ) -> Result<Step, TransactionError> {
        let outcome = if error.is_none() { Delivered::Done } else { Delivered::Dead };
        self.0.metrics.delivery(sink.name(), outcome);
        let settled = Settled { status, attempts, pause: Duration::ZERO, error };
        let held = self.mark(sink, message.id, &settled).await?;
        Ok(if held { Step::On } else { Step::Lost })
    }

    /// Marks the message `id`; says whether this worker still had the sink.
    async fn mark(
        &self,
        sink: &Sink,
        id: Uuid,
        settled: &Settled<'_>,
    ) -> Result<bool, TransactionError> {
        let held = self.held(sink);
        let marked = database::read_with_retry(&self.0.pool, async |conn| {
            Ok::<_, TransactionError>(store::record_result(conn, held, id, settled).await?)
        });
        let marked = marked.await?;
        if !marked {
            debug!(sink = sink.name(), %id, "another worker has the sink: this result counts for nothing");
        }
        Ok(marked)
    }

    async fn disable(&self, sink: &Sink, reason: &str) -> Result<(), TransactionError> {
        self.0.metrics.delivery(sink.name(), Delivered::Retried);
        let held = self.held(sink);
        let buried = database::read_with_retry(&self.0.pool, async |conn| {
            Ok::<_, TransactionError>(
                store::disable_sink(conn, held, sink.address(), reason).await?,
            )
        });
        buried.await
    }

    /// Says once that a sink is gone, and once that it is back.
    fn mark_health(&self, sink: &Sink, is_dead: bool) {
        if !self.0.outbox.set_dead(sink.name(), is_dead) {
            return;
        }
        let sink = sink.name();
        if is_dead {
            error!(
                sink,
                "the sink is gone for good: its messages wait until it has another address, or until one of them \
                 is tried again"
            );
        } else {
            info!(sink, "the sink is called again");
        }
    }

    async fn release(&self, sink: Option<&str>) -> Result<(), TransactionError> {
        let lease = self.0.lease;
        let released = database::read_with_retry(&self.0.pool, async |conn| {
            Ok::<_, TransactionError>(store::release(conn, lease, sink).await?)
        });
        released.await
    }

    fn held<'a>(&self, sink: &'a Sink) -> ClaimedBatch<'a> {
        ClaimedBatch { sink: sink.name(), lease: self.0.lease, term: self.0.delivery.lease }
    }
}

/// Says once that the database keeps messages from being delivered, and once that it does no longer.
fn tell(sink: &Sink, failure: Option<&TransactionError>, well: &mut bool) {
    let sink = sink.name();
    match failure {
        Some(err) if *well => warn!(
            sink,
            error = err as &dyn std::error::Error,
            "messages are not delivered: the database cannot be asked for them"
        ),
        None if !*well => info!(sink, "messages are delivered again"),
        _ => (),
    }
    *well = failure.is_none();
}
