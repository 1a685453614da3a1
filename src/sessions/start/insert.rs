//! Second step of a start: the insert of the session, with concurrent starts of the user and concurrent changes of the
//! settings.

use std::{num::NonZeroU32, sync::Arc};

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    database::{self, ConflictRetry, Deadline, Pool, Retry, TransactionError},
    idempotency,
    outbox::{Outbox, Topic},
    sessions::{
        eligibility::{self, Bounds, IneligibleReason, User},
        lookup,
        refusal::Refusal,
        rules::SessionSettings,
        session::{Idempotency, NewSession, Session},
        start::{
            error::Error,
            planned::{PlannedInsert, RateLimit},
            queue::InsertQueue,
            request::Request,
            store::{self, Diagnosis, ExpiredMessage},
        },
    },
    settings::{self, GlobalSettingsService},
};

/// The insert of a session.
pub(super) struct SessionInsert<'a> {
    pub(super) pool: &'a Pool,
    pub(super) queue: &'a InsertQueue,
    pub(super) settings: &'a GlobalSettingsService,
    pub(super) outbox: &'a Outbox,
    pub(super) request: &'a Request,
    /// The user with the resolved plan and level, which may differ from the request.
    pub(super) user: User,
    pub(super) per_minute: NonZeroU32,
    pub(super) in_two_steps: bool,
}

/// A session that was inserted by this request or by an earlier request with the same idempotency key.
pub(super) struct Inserted {
    pub(super) session: Session,
    pub(super) replayed: bool,
    /// Instructions for the provider instead of a stored prompt.
    pub(super) instructions: Option<String>,
}

enum Outcome {
    Inserted(Box<Inserted>),
    /// A concurrent start of the same user, or an expired session that is now closed.
    Retry,
    /// The settings or the epoch changed.
    Outdated,
}

impl SessionInsert<'_> {
    /// Inserts the session.
    ///
    /// A broken connection is retried even with an unknown outcome: every attempt uses the same id, so the next
    /// attempt finds the row of an earlier attempt.
    pub(super) async fn run(&self) -> Result<Inserted, Error> {
        let deadline = Deadline::standard();
        let mut retry = Retry::until(deadline);
        let id = Uuid::now_v7();
        loop {
            match self.insert_with_current_settings(id, deadline).await {
                Err(Error::Database(error)) if error.is_transient_or_outcome_unknown() => {
                    retry.after(error).await?;
                }
                Err(error) => return Err(final_error(retry.unknown_outcome(), error)),
                inserted => return inserted,
            }
        }
    }

    async fn insert_with_current_settings(
        &self,
        id: Uuid,
        deadline: Deadline,
    ) -> Result<Inserted, Error> {
        // Outside of the loop, so the attempts of a request count only once.
        let mut limit = RateLimit { per_minute: self.per_minute.get().into(), counted: false };
        // Bounded: a few concurrent changes are expected, endless changes must not block the request.
        let mut retry = ConflictRetry::default();
        while retry.begin_attempt() {
            let new_session = Arc::new(self.plan_session(id, session_settings(self.settings)?));
            match self.attempt(&new_session, &mut limit, deadline).await? {
                Outcome::Inserted(inserted) => return Ok(*inserted),
                Outcome::Retry => (),
                Outcome::Outdated => {
                    // The notification of the change may not have arrived yet.
                    deadline.within(refresh(self.pool, self.settings)).await?;
                }
            }
        }
        Err(Error::Unsettled)
    }

    fn plan_session(&self, id: Uuid, settings: Arc<SessionSettings>) -> NewSession {
        let Request { user, idempotency_key, now, .. } = self.request;
        let part = |text: &Option<String>| {
            // The first byte distinguishes an absent text from an empty text.
            text.as_deref().map_or(vec![0], |text| [b"1", text.as_bytes()].concat())
        };
        // The digest is of the request, so that a repeat matches even if the plan service returns another plan.
        let idempotency = idempotency_key.as_ref().map(|key| Idempotency {
            key: key.clone(),
            digest: idempotency::fingerprint(&[b"start", &part(&user.plan), &part(&user.level)]),
        });
        NewSession {
            id,
            user: self.user.clone(),
            started_at: *now,
            // Fixed at the start: a later change of the maximum does not affect a running session.
            expires_at: *now + TimeDelta::minutes(settings.session_max_minutes.into()),
            settings,
            epoch: self.settings.epoch(),
            idempotency,
            in_two_steps: self.in_two_steps,
        }
    }

    async fn attempt(
        &self,
        new_session: &Arc<NewSession>,
        limit: &mut RateLimit,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        let bounds = Bounds::at(self.request.now, &new_session.settings);
        let mut reasons = account_reasons(new_session);
        // Not final: outdated settings may be the cause, and only the diagnosis can tell.
        let is_account_eligible = reasons.is_empty();
        // The common case needs only the cheap statement. The expensive statement diagnoses the obstacle and closes
        // expired sessions.
        if is_account_eligible && self.insert(new_session, &bounds, *limit, deadline).await? {
            return Ok(Outcome::Inserted(inserted(new_session.session(), false, new_session)));
        }
        let diagnosis =
            self.diagnose(new_session, &bounds, limit, is_account_eligible, deadline).await?;
        // Before the rate limit: a repeat must receive the stored session, not a rejection.
        if let Some(id) = existing_session(&diagnosis, new_session)? {
            let session = lookup::stored(self.pool, id, self.request.now);
            let session = deadline.within(session).await?;
            // The same id is an earlier attempt of this request, not a replay.
            let replayed = id != new_session.id;
            let inserted = session.map(|session| inserted(session, replayed, new_session));
            return Ok(inserted.map_or(Outcome::Retry, Outcome::Inserted));
        }
        // Before every other obstacle: whatever the user does, no start can succeed, and the attempt did not count.
        if let Some(seconds) = diagnosis.stopped_for {
            // At least a second, because `Retry-After: 0` would invite an immediate retry.
            let wait = u32::try_from(seconds).unwrap_or_default().max(1);
            return Err(Error::Stopped { wait });
        }
        if !diagnosis.counted {
            let wait = diagnosis.try_again_in.and_then(|seconds| u32::try_from(seconds).ok());
            // At least a second, because `Retry-After: 0` would invite an immediate retry.
            let wait = wait.unwrap_or_default().max(1);
            return Err(Error::RateLimited { per_minute: self.per_minute, wait });
        }
        // A rejection by outdated settings does not count, nor in an earlier epoch.
        let is_current = diagnosis.revision == new_session.settings.revision
            && diagnosis.epoch == new_session.epoch;
        if !is_current {
            return Ok(Outcome::Outdated);
        }
        // Reported alone, because the cooldown begins only at the end of the session.
        if let Some(active) = diagnosis.active {
            return Err(Error::Active(active));
        }
        let history = diagnosis.history();
        reasons.extend(eligibility::check_history(&history, &bounds, &new_session.settings));
        // No obstacle remains: a concurrent start failed, or an expired session is now closed.
        if reasons.is_empty() {
            return Ok(Outcome::Retry);
        }
        let NewSession { user, settings, .. } = &**new_session;
        let (at, revision) = (new_session.started_at, settings.revision);
        Refusal { at, user, reasons: &reasons, revision }.record(self.pool).await;
        Err(Error::NotEligible(reasons))
    }

    /// Inserts the session if there is no obstacle. Returns whether the row was inserted.
    async fn insert(
        &self,
        new_session: &Arc<NewSession>,
        bounds: &Bounds,
        limit: RateLimit,
        deadline: Deadline,
    ) -> Result<bool, TransactionError> {
        let new_session = Arc::clone(new_session);
        let insert = PlannedInsert { new_session, bounds: bounds.clone(), limit };
        self.queue.insert(self.pool, insert, deadline).await
    }

    /// Queries the obstacle. For an eligible account, also closes an expired session of the user.
    async fn diagnose(
        &self,
        new_session: &NewSession,
        bounds: &Bounds,
        limit: &mut RateLimit,
        is_account_eligible: bool,
        deadline: Deadline,
    ) -> Result<Diagnosis, TransactionError> {
        let limit_before = *limit;
        // For an ineligible account, the expiry task closes the expired session.
        let message = is_account_eligible.then(|| {
            let topic = Topic::SessionExpired;
            let sinks = self.outbox.sinks(topic);
            ExpiredMessage { message_id: Uuid::now_v7(), topic: topic.as_str(), sinks }
        });
        let query = database::execute_autocommit(self.pool, deadline, async |conn| {
            store::diagnose(conn, new_session, bounds, limit_before, message.as_ref()).await
        });
        let diagnosis = query.await?;
        limit.counted = diagnosis.counted;
        Ok(diagnosis)
    }
}

fn account_reasons(new_session: &NewSession) -> Vec<IneligibleReason> {
    let User { plan, level, .. } = &new_session.user;
    eligibility::check_account(plan.as_deref(), level.as_deref(), &new_session.settings)
}

fn inserted(session: Session, replayed: bool, new_session: &NewSession) -> Box<Inserted> {
    let instructions = new_session.settings.instructions.clone();
    Box::new(Inserted { session, replayed, instructions })
}

/// Returns the error to report: after an unknown outcome, only statements of the database about the user are certain.
fn final_error(unknown_outcome: Option<TransactionError>, error: Error) -> Error {
    match error {
        Error::NotEligible(_) | Error::Active(_) | Error::Idempotency(_) => error,
        _ => unknown_outcome.map_or(error, Error::Database),
    }
}

async fn refresh(pool: &Pool, settings: &GlobalSettingsService) -> Result<(), Error> {
    match settings::refresh(pool, settings).await {
        // Reported with keys and problems instead of a failed reload.
        Err(settings::ReloadError::Invalid(_)) => session_settings(settings).map(drop),
        result => Ok(result.map(drop)?),
    }
}

/// Returns the settings of the current snapshot.
///
/// # Errors
/// The settings in the database are invalid, or a key is missing.
fn session_settings(settings: &GlobalSettingsService) -> Result<Arc<SessionSettings>, Error> {
    // The last valid settings stay in memory, but a new session must not start with old settings.
    if !settings.is_valid() {
        let violations = settings.violations();
        let problems =
            violations.iter().map(|violation| (violation.key.clone(), violation.detail.clone()));
        return Err(Error::Settings(problems.collect()));
    }
    // Not cached, because the look-ups are cheap compared with the statement that follows.
    let result = SessionSettings::read(&settings.current());
    result.map(Arc::new).map_err(Error::from)
}

/// Returns the session of the same request: of an attempt whose response was lost, or of an earlier request with the
/// same idempotency key.
fn existing_session(
    diagnosis: &Diagnosis,
    new_session: &NewSession,
) -> Result<Option<Uuid>, Error> {
    // An earlier attempt of this request inserted the row, but the response was lost.
    if diagnosis.active == Some(new_session.id) {
        return Ok(diagnosis.active);
    }
    let (_, digest) = new_session.idempotency();
    // The digest first: a reused key is an error even while the first request is in progress.
    match diagnosis.prior {
        Some(_) if diagnosis.prior_digest.as_deref() != digest => Err(idempotency::Reused.into()),
        Some(_) if diagnosis.prior_is_starting == Some(true) => Err(Error::InProgress),
        prior => Ok(prior),
    }
}
