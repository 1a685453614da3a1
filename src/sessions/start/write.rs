//! Writing the row of a session, against other starts of its user and against changes of the settings.

use std::{num::NonZeroU32, sync::Arc};

use chrono::TimeDelta;
use uuid::Uuid;

use super::{
    Error, Request,
    store::{self, Attempt, Cleared, Diagnosis, Limit},
};
use crate::{
    database::{self, ConflictRetry, Deadline, Pool, Retry, TransactionError},
    idempotency,
    outbox::{Outbox, Topic},
    sessions::{
        eligibility::{self, Bounds, User},
        lookup,
        rules::SessionSettings,
        session::{Candidate, Idempotency, Session},
    },
    settings::{self, GlobalSettingsService, InvalidSettings},
};

/// A start whose row is to be written.
pub(super) struct StartWriter<'a> {
    pub(super) pool: &'a Pool,
    pub(super) settings: &'a GlobalSettingsService,
    pub(super) outbox: &'a Outbox,
    pub(super) request: &'a Request,
    /// The user as they are to be judged; who asks may have said otherwise.
    pub(super) user: User,
    pub(super) per_minute: NonZeroU32,
    pub(super) in_two_steps: bool,
}

/// A session whose row is written, now or by the same request before.
pub(super) struct StartResult {
    pub(super) session: Session,
    pub(super) replayed: bool,
    /// What the provider is told in place of a stored prompt.
    pub(super) instructions: Option<String>,
}

enum Outcome {
    Written(Box<StartResult>),
    /// Another start of the same user was in between, or what was in the way is cleared away.
    Raced,
    /// The settings are newer than the candidate's.
    Outdated,
}

impl StartWriter<'_> {
    /// Writes the row. A connection that breaks is no reason to fail, even when nobody knows whether the row
    /// was written: every attempt is for the same id, so the next one finds what an earlier one left.
    pub(super) async fn write(&self) -> Result<StartResult, Error> {
        let deadline = Deadline::standard();
        let mut retry = Retry::until(deadline);
        let id = Uuid::now_v7();
        loop {
            match self.settle(id, deadline).await {
                Err(Error::Database(failure)) if failure.is_transient_or_outcome_unknown() => {
                    retry.after(failure).await?;
                }
                Err(err) => return Err(in_doubt(retry.unknown_outcome(), err)),
                written => return written,
            }
        }
    }

    async fn settle(&self, id: Uuid, deadline: Deadline) -> Result<StartResult, Error> {
        let per_minute = i32::try_from(self.per_minute.get()).unwrap_or(i32::MAX);
        let mut limit = Limit { per_minute, counted: false };
        // A race with another start, or with a change of the settings, is decided by another attempt.
        let mut retry = ConflictRetry::default();
        while retry.next() {
            let candidate = self.candidate(id, usable(self.settings)?);
            match self.attempt(&candidate, &mut limit, deadline).await? {
                Outcome::Written(written) => return Ok(*written),
                Outcome::Raced => (),
                Outcome::Outdated => {
                    deadline.within(refreshed(self.pool, self.settings)).await?;
                }
            }
        }
        Err(Error::Unsettled)
    }

    fn candidate(&self, id: Uuid, settings: Arc<SessionSettings>) -> Candidate {
        let Request { user: asked, idempotency_key, now, .. } = self.request;
        let text = |it: &Option<String>| {
            it.as_deref().map_or(vec![0], |it| [b"1", it.as_bytes()].concat())
        };
        // Of what was asked: a repeat is the same request whatever became of the user's plan meanwhile.
        let idempotency = idempotency_key.as_ref().map(|key| Idempotency {
            key: key.clone(),
            digest: idempotency::fingerprint(&[b"start", &text(&asked.plan), &text(&asked.level)]),
        });
        Candidate {
            id,
            user: self.user.clone(),
            started_at: *now,
            expires_at: *now + TimeDelta::minutes(settings.session_max_minutes.into()),
            settings,
            idempotency,
            in_two_steps: self.in_two_steps,
        }
    }

    async fn attempt(
        &self,
        candidate: &Candidate,
        limit: &mut Limit,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        let bounds = Bounds::at(self.request.now, &candidate.settings);
        let mut refusals = eligibility::check_account(&candidate.user, &candidate.settings);
        let permitted = refusals.is_empty();
        // Nearly always nothing stands in the way, so the statement that asks no more than that comes first; the
        // one that can tell what does, and clears away a session past its time, is for when it did not.
        if permitted && self.insert(candidate, &bounds, limit, deadline).await? {
            return Ok(Outcome::Written(written(candidate.session(), false, candidate)));
        }
        let (asked, told) = (*limit, permitted.then(|| self.told()));
        let examined = database::execute_autocommit(self.pool, deadline, async |conn| {
            store::examine(conn, candidate, &bounds, asked, told.as_ref()).await
        });
        let found = examined.await?;
        limit.counted = found.counted;
        if let Some(id) = stored_before(&found, candidate)? {
            let found = lookup::stored(self.pool, id, self.request.now);
            let session = deadline.within(found).await?;
            let replayed = id != candidate.id;
            let written = session.map(|session| written(session, replayed, candidate));
            return Ok(written.map_or(Outcome::Raced, Outcome::Written));
        }
        if !found.counted {
            let wait = found.try_again_in.and_then(|it| u32::try_from(it).ok()).unwrap_or_default();
            return Err(Error::RateLimited { per_minute: self.per_minute, wait: wait.max(1) });
        }
        // Refused by settings that are no longer current is not refused.
        if found.revision != candidate.settings.revision {
            return Ok(Outcome::Outdated);
        }
        if let Some(active) = found.active {
            return Err(Error::Active(active));
        }
        refusals.extend(eligibility::check_history(&found.history(), &bounds, &candidate.settings));
        if refusals.is_empty() { Ok(Outcome::Raced) } else { Err(Error::NotEligible(refusals)) }
    }

    /// Who is told when a session of the user's turns out to be over.
    fn told(&self) -> Diagnosis {
        let topic = Topic::SessionExpired;
        let sinks = self.outbox.sinks(topic);
        Diagnosis { message_id: Uuid::now_v7(), topic: topic.as_str(), sinks }
    }

    /// Inserts the candidate if nothing stands in its way; says whether it did.
    async fn insert(
        &self,
        candidate: &Candidate,
        bounds: &Bounds,
        limit: &mut Limit,
        deadline: Deadline,
    ) -> Result<bool, TransactionError> {
        let asked = *limit;
        let cleared = database::execute_autocommit(self.pool, deadline, async |conn| {
            store::insert_if_clear(conn, candidate, bounds, asked).await
        });
        match cleared.await {
            Ok(Cleared { counted, inserted }) => {
                limit.counted = counted;
                Ok(inserted)
            }
            // Nothing is left of the statement, nor of its count.
            Err(failure) if is_race(&failure) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn written(session: Session, replayed: bool, candidate: &Candidate) -> Box<StartResult> {
    let instructions = candidate.settings.instructions.clone();
    Box::new(StartResult { session, replayed, instructions })
}

/// The failure to tell: after a doubtful attempt only what the database said of the user is certain.
fn in_doubt(doubt: Option<TransactionError>, err: Error) -> Error {
    match err {
        Error::NotEligible(_) | Error::Active(_) | Error::Idempotency(_) => err,
        _ => doubt.map_or(err, Error::Database),
    }
}

async fn refreshed(pool: &Pool, settings: &GlobalSettingsService) -> Result<(), Error> {
    match settings::refresh(pool, settings).await {
        Err(settings::ReloadError::Invalid(_)) => usable(settings).map(drop),
        refreshed => Ok(refreshed.map(drop)?),
    }
}

/// The settings of the current snapshot, while the database's are valid. A few look-ups: nothing beside the
/// round trip that follows, so they are not kept.
fn usable(settings: &GlobalSettingsService) -> Result<Arc<SessionSettings>, Error> {
    if !settings.is_valid() {
        let faults = settings.violations();
        let told = faults.iter().map(|it| (it.key.clone(), it.detail.clone()));
        return Err(Error::Settings(told.collect()));
    }
    let read = SessionSettings::read(&settings.current());
    read.map(Arc::new).map_err(|unusable| Error::Settings(told(&unusable)))
}

fn told(unusable: &[InvalidSettings]) -> Vec<(String, String)> {
    let told = unusable.iter().map(|fault| match fault {
        InvalidSettings::Missing(key) => (key.clone(), "is missing".to_owned()),
        InvalidSettings::Mistyped { key, expected } => (key.clone(), format!("is not {expected}")),
    });
    told.collect()
}

/// The session that the same request started before: an attempt of it whose answer was lost, or an earlier
/// one with its idempotency key.
fn stored_before(found: &Attempt, candidate: &Candidate) -> Result<Option<Uuid>, Error> {
    if found.active == Some(candidate.id) {
        return Ok(found.active);
    }
    let own = candidate.idempotency().1;
    match found.prior {
        Some(_) if found.prior_digest.as_deref() != own => Err(idempotency::Reused.into()),
        Some(_) if found.prior_is_starting == Some(true) => Err(Error::InProgress),
        prior => Ok(prior),
    }
}

/// Whether a unique index kept two starts apart.
fn is_race(failure: &TransactionError) -> bool {
    let indexes =
        ["brune_session_pkey", "brune_session_one_active", "brune_session_by_idempotency_key"];
    failure.constraint().is_some_and(|it| indexes.contains(&it))
}
