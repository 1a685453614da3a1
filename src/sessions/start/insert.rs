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
        session::{Idempotency, NewSession, Session},
        start::{
            arm::{self, StartSettings},
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
        let mut attempts = Vec::new();
        let id = Uuid::now_v7();
        loop {
            match self.insert_with_current_settings(id, &mut attempts, deadline).await {
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
        attempts: &mut Vec<Arc<NewSession>>,
        deadline: Deadline,
    ) -> Result<Inserted, Error> {
        // Outside of the loop, so the attempts of a request count only once.
        let mut limit = RateLimit { per_minute: self.per_minute.get().into(), counted: false };
        // Bounded: a few concurrent changes are expected, endless changes must not block the request.
        let mut retry = ConflictRetry::default();
        let mut is_refreshed = false;
        while retry.begin_attempt() {
            let settings = match StartSettings::of(&self.user.id, self.settings) {
                // Only the candidate is invalid: the rollout may be over, or the settings may be valid again.
                Err(Error::Settings(_)) if self.settings.is_valid() && !is_refreshed => {
                    is_refreshed = true;
                    deadline.within(refresh(self.pool, self.settings)).await?;
                    continue;
                }
                settings => settings?,
            };
            let new_session = Arc::new(self.plan_session(id, settings));
            // Before the statement: whatever the outcome of the attempt is, the row may be stored.
            attempts.push(Arc::clone(&new_session));
            match self.attempt(&new_session, attempts, &mut limit, deadline).await? {
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

    fn plan_session(&self, id: Uuid, settings: StartSettings) -> NewSession {
        let StartSettings { settings, epoch, arm } = settings;
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
            epoch,
            arm,
            idempotency,
            in_two_steps: self.in_two_steps,
        }
    }

    /// Tries to insert `new_session`. `attempts` are all sessions of the request so far, which have the same id.
    async fn attempt(
        &self,
        new_session: &Arc<NewSession>,
        attempts: &[Arc<NewSession>],
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
            return Ok(Outcome::Inserted(inserted(new_session.session(), false, attempts)));
        }
        let diagnosis =
            self.diagnose(new_session, &bounds, limit, is_account_eligible, deadline).await?;
        // Before the rate limit: a repeat must receive the stored session, not a rejection.
        if let Some(id) = existing_session(&diagnosis, new_session)? {
            let session = lookup::stored(self.pool, id, self.request.now);
            let session = deadline.within(session).await?;
            // The same id is an earlier attempt of this request, not a replay.
            let replayed = id != new_session.id;
            let inserted = session.map(|session| inserted(session, replayed, attempts));
            return Ok(inserted.map_or(Outcome::Retry, Outcome::Inserted));
        }
        self.check_permission(&diagnosis)?;
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
        Refusal { session: new_session, reasons: &reasons }.record(self.pool).await;
        Err(Error::NotEligible(reasons))
    }

    /// Verifies that starts are not stopped, and that the rate limit permits the attempt.
    fn check_permission(&self, diagnosis: &Diagnosis) -> Result<(), Error> {
        // At least a second, because `Retry-After: 0` would invite an immediate retry.
        let wait = |seconds: i32| u32::try_from(seconds).unwrap_or_default().max(1);
        // Before every other obstacle: whatever the user does, no start can succeed, and the attempt did not count.
        if let Some(seconds) = diagnosis.stopped_for {
            return Err(Error::Stopped { wait: wait(seconds) });
        }
        if !diagnosis.counted {
            let wait = wait(diagnosis.try_again_in.unwrap_or_default());
            return Err(Error::RateLimited { per_minute: self.per_minute, wait });
        }
        Ok(())
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

/// Returns the result for the stored `session`; the instructions for the provider are those of the attempt that stored the
/// session.
fn inserted(session: Session, replayed: bool, attempts: &[Arc<NewSession>]) -> Box<Inserted> {
    // An earlier attempt may have had other settings, or the settings of the other arm.
    let attempt = attempts.iter().rev().find(|attempt| attempt.is_stored_as(&session));
    let instructions = attempt.and_then(|attempt| attempt.settings.instructions.clone());
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
        // Another reload has found valid settings meanwhile.
        Err(settings::ReloadError::Invalid(_)) if settings.is_valid() => Ok(()),
        Err(settings::ReloadError::Invalid(violations)) => Err(arm::invalid(&violations, None)),
        result => Ok(result.map(drop)?),
    }
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{
        ids::UserId,
        sessions::{rules::SessionSettings, session::Arm},
    };

    /// An attempt in the arm of `instructions`.
    fn attempt(instructions: &str, arm: Option<Arm>) -> Arc<NewSession> {
        let settings = SessionSettings {
            revision: 1,
            cooldown_minutes: 0,
            max_sessions_per_day: 3,
            require_plan: false,
            allowed_levels: Vec::new(),
            prompt_id: "p".to_owned(),
            prompt_version: "1".to_owned(),
            instructions: Some(instructions.to_owned()),
            model: "m".to_owned(),
            session_max_minutes: 30,
        };
        Arc::new(NewSession {
            id: Uuid::nil(),
            user: User { id: UserId::parse("ana").unwrap(), plan: None, level: None },
            started_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            settings: Arc::new(settings),
            epoch: 1,
            arm,
            idempotency: None,
            in_two_steps: true,
        })
    }

    #[test]
    fn the_instructions_are_those_of_the_stored_attempt() {
        let arm = |is_candidate| {
            Some(Arm { proposal: Uuid::nil(), proposal_number: 1, is_candidate, share_bp: 1_000 })
        };
        let attempts = [
            attempt("of the candidate", arm(true)),
            attempt("of the control", arm(false)),
            attempt("after the revert", None),
        ];
        for stored in &attempts {
            let inserted = inserted(stored.session(), false, &attempts);
            assert_eq!(inserted.instructions, stored.settings.instructions);
        }
        let unknown = attempt("of nobody", arm(true)).session();
        assert_eq!(inserted(unknown, false, &attempts[1..]).instructions, None);
    }
}
