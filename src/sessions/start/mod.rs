//! Starting a session: who may, under which settings, and with which client secret.
//!
//! No connection is held while another service is asked: plan and level before the first one is taken, the
//! realtime provider between the row's insertion and its activation.

mod store;
mod write;

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    clock::jittered,
    database::{self, ConflictRetry, Connection, Deadline, Pool, Retry, TransactionError},
    idempotency,
    ids::RequestId,
    outbox::{Outbox, Topic},
    sessions::{
        eligibility::{IneligibleReason, User},
        lookup,
        plans::{PlanAndLevel, PlanUnavailable, Plans},
        realtime::{MintedSecret, Realtime, RealtimeFault},
        session::{Session, Status},
    },
    settings::{self, GlobalSettingsService},
};
use store::Activation;
use write::{StartResult, StartWriter};

/// What is kept of a request's time for what follows the provider's answer.
const FINISHING: Duration = Duration::from_millis(500);

/// How often what was tried long ago is forgotten.
const FORGETTING: Duration = Duration::from_mins(2);

/// What takes part in a start beside the database and the settings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionStarter(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    plans: Option<Plans>,
    realtime: Option<Realtime>,
    per_minute: NonZeroU32,
    outbox: Outbox,
}

impl SessionStarter {
    /// With neither, plan and level are what the request says, and no client secret is handed out; a user may
    /// try to start `per_minute` times in a minute. Messages about sessions go to `outbox`.
    #[must_use]
    pub fn new(
        plans: Option<Plans>,
        realtime: Option<Realtime>,
        per_minute: NonZeroU32,
        outbox: Outbox,
    ) -> Self {
        Self(Arc::new(Parts { plans, realtime, per_minute, outbox }))
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who wants to start, on the plan and level that they or the calling service say.
    pub user: User,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<String>,
    /// The request, for the services that take part.
    pub id: RequestId,
    /// When it came.
    pub now: DateTime<Utc>,
    /// When it must have been answered.
    pub due: Instant,
}

/// A session that was started, now or by the same request before.
#[derive(Debug)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// Whether an earlier request with the same idempotency key had started it.
    pub replayed: bool,
    /// What the client opens it with, if a provider takes part; not handed out again.
    pub realtime: Option<MintedSecret>,
}

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user may not start now, for each of these reasons.
    #[error("the user is not eligible")]
    NotEligible(Vec<IneligibleReason>),
    /// The user has one running, or on its way.
    #[error("session {0} is running")]
    Active(Uuid),
    /// The first request with the idempotency key is not through.
    #[error("the first request with this idempotency key is under way")]
    InProgress,
    /// The user has tried too often.
    #[error("{per_minute} starts a minute may be tried; the next one in {wait} s")]
    RateLimited {
        /// How often a user may try in a minute.
        per_minute: NonZeroU32,
        /// Seconds to wait.
        wait: u32,
    },
    /// The idempotency key started a session for another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The settings in the database are missing or invalid; each key with what is wrong.
    #[error("the settings are not usable: {}", .0.iter().map(|it| format!("{} {}", it.0, it.1)).collect::<Vec<_>>().join("; "))]
    Settings(Vec<(String, String)>),
    /// The settings changed during every attempt.
    #[error("settings changed {} times during the request; retry", ConflictRetry::LIMIT)]
    Unsettled,
    /// The settings could not be read.
    #[error(transparent)]
    Reload(#[from] settings::ReloadError),
    /// Nobody says which plan the user has.
    #[error(transparent)]
    Plan(#[from] PlanUnavailable),
    /// The realtime provider failed.
    #[error(transparent)]
    Realtime(#[from] RealtimeFault),
    /// It took so long that others took the start for abandoned.
    #[error("the start took too long and was given up")]
    GivenUp,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}

/// Starts a session under the settings that are current when its row is written, whichever instance
/// changed them: the row is written only if they still are, and they are read again when not.
///
/// Where nothing is left to do after that, the row is of an active session at once. Else it is of one that is
/// starting, which becomes active, or failed, when the provider has answered.
pub async fn start(
    starts: &SessionStarter,
    pool: &Pool,
    settings: &GlobalSettingsService,
    request: &Request,
) -> Result<Started, Error> {
    let Parts { plans, realtime, per_minute, outbox } = &*starts.0;
    let mut user = request.user.clone();
    if let Some(plans) = plans {
        let PlanAndLevel { plan, level } = plans.find(&user.id, &request.id).await?;
        user = User { plan, level, ..user };
    }
    let sinks = outbox.sinks(Topic::SessionStarted);
    let in_two_steps = realtime.is_some() || !sinks.is_empty();
    let writing = StartWriter {
        pool,
        settings,
        outbox,
        request,
        user,
        per_minute: *per_minute,
        in_two_steps,
    };
    let StartResult { session, replayed, instructions } = writing.write().await?;
    if replayed || !in_two_steps {
        return Ok(Started { session, replayed, realtime: None });
    }
    let finishing = Finishing { pool, request, session: &session };
    let minted = match realtime {
        Some(realtime) => Some(finishing.mint(realtime, instructions.as_deref()).await?),
        None => None,
    };
    finishing.activate(minted.as_ref(), sinks).await?;
    let session = Session { status: Status::Active, ..session };
    Ok(Started { session, replayed, realtime: minted })
}

/// A session whose row says that it is starting.
struct Finishing<'a> {
    pool: &'a Pool,
    request: &'a Request,
    session: &'a Session,
}

impl Finishing<'_> {
    async fn mint(
        &self,
        realtime: &Realtime,
        instructions: Option<&str>,
    ) -> Result<MintedSecret, RealtimeFault> {
        let until = self.request.due.checked_sub(FINISHING).unwrap_or(self.request.due);
        let minted = realtime.mint(self.session, instructions, &self.request.id, until).await;
        if minted.is_err() {
            self.give_up().await;
        }
        minted
    }

    /// Marks the session as failed, so that its user may try again at once. If that fails it is taken for
    /// abandoned in half a minute.
    async fn give_up(&self) {
        let (id, now) = (self.session.id, self.request.now);
        let failed = async |conn: &mut Connection| store::fail(conn, id, now).await;
        let until = self.request.due.checked_sub(FINISHING / 2).unwrap_or(self.request.due);
        let done = timeout_at(
            until,
            database::execute_autocommit(self.pool, Deadline::standard(), failed),
        )
        .await;
        if !matches!(done, Ok(Ok(()))) {
            warn!(session = %id, "a session that did not start could not be marked; it holds its user up for 30 s");
        }
    }

    /// Makes the session active. An answer that was lost is no reason to fail: who asks again finds what was
    /// stored.
    async fn activate(
        &self,
        minted: Option<&MintedSecret>,
        sinks: Vec<String>,
    ) -> Result<(), Error> {
        let activation = Activation {
            id: self.session.id,
            provider_session_id: minted.map(|it| it.session_id.clone()),
            provider_request_id: minted
                .and_then(|it| Some(it.request_id.as_ref()?.as_str().to_owned())),
            message_id: Uuid::now_v7(),
            topic: Topic::SessionStarted.as_str(),
            sinks,
            payload: self.session.payload(),
        };
        let deadline = Deadline::standard();
        let mut retry = Retry::until(deadline);
        loop {
            let step = async |conn: &mut Connection| store::activate(conn, &activation).await;
            match database::execute_autocommit(self.pool, deadline, step).await {
                Ok(true) => return Ok(()),
                // An earlier attempt with an unknown outcome may have activated the session.
                Ok(false) if retry.has_unknown_outcome() && self.is_active().await? => {
                    return Ok(());
                }
                Ok(false) => return Err(Error::GivenUp),
                Err(failure) if failure.is_transient_or_outcome_unknown() => {
                    retry.after(failure).await?;
                }
                Err(failure) => return Err(retry.unknown_outcome().unwrap_or(failure).into()),
            }
        }
    }

    async fn is_active(&self) -> Result<bool, TransactionError> {
        let found = lookup::stored(self.pool, self.session.id, self.request.now).await?;
        Ok(found.is_some_and(|it| it.status == Status::Active))
    }
}

/// Forgets again and again what users tried more than a minute ago.
pub async fn forget_attempts(pool: Pool) {
    let mut ticks = interval(jittered(FORGETTING, 0.8..1.2));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let forget = async |conn: &mut Connection| store::forget_attempts(conn).await;
        // Away for a while is no news of ours: whoever needs the database says so.
        if let Ok(forgotten) =
            database::execute_autocommit(&pool, Deadline::standard(), forget).await
        {
            debug!(forgotten, "users' attempts to start were forgotten");
        }
    }
}
