//! Starting a session: who may, and under which settings.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::error::DatabaseError;
use uuid::Uuid;

use crate::{
    database::{self, Attempts, Connection, Deadline, Failure, Pool},
    idempotency,
    sessions::{
        eligibility::{self, Bounds, Refusal, User},
        rules::SessionSettings,
        session::{Candidate, Idempotency, Session},
        store::{self, Attempt},
    },
    settings::{self, GlobalSettingsService, Unusable},
};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who wants to start.
    pub user: User,
    /// What makes a repeat the same request.
    pub idempotency_key: Option<String>,
}

/// A session that was started, now or by the same request before.
#[derive(Debug, Clone)]
pub struct Started {
    /// The session.
    pub session: Session,
    /// Whether an earlier request with the same idempotency key had started it.
    pub replayed: bool,
}

/// Why a session did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user may not start now, for each of these reasons.
    #[error("the user is not eligible")]
    NotEligible(Vec<Refusal>),
    /// The user has one running.
    #[error("session {0} is running")]
    Active(Uuid),
    /// The idempotency key started a session for another request.
    #[error(transparent)]
    Idempotency(#[from] idempotency::Reused),
    /// The settings in the database are missing or invalid; each key with what is wrong.
    #[error("the settings are not usable: {}", .0.iter().map(|it| format!("{} {}", it.0, it.1)).collect::<Vec<_>>().join("; "))]
    Settings(Vec<(String, String)>),
    /// The settings moved on faster than they could be read.
    #[error("the settings keep changing")]
    Unsettled,
    /// The settings could not be read.
    #[error(transparent)]
    Reload(#[from] settings::ReloadError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Failure),
}

/// Starts a session under the settings that are current when its row is written, whichever instance
/// changed them: the row is written only if they still are, and they are read again when not.
///
/// A connection that breaks is no reason to fail, even when nobody knows whether the row was written:
/// every attempt is for the same id, so the next one finds what an earlier one left.
pub async fn start(
    pool: &Pool,
    settings: &GlobalSettingsService,
    request: &Request,
    now: DateTime<Utc>,
) -> Result<Started, Error> {
    let deadline = Deadline::usual();
    let mut attempts = Attempts::until(deadline);
    let id = Uuid::now_v7();
    let mut doubt = None;
    loop {
        match settle(pool, settings, request, id, now, deadline).await {
            Err(Error::Database(failure)) if failure.is_lost() && attempts.again().await => {
                doubt = doubt.or(failure.is_in_doubt().then_some(failure));
            }
            Err(err) => return Err(in_doubt(doubt, err)),
            started => return started,
        }
    }
}

/// The failure to tell: after a doubtful attempt only what the database said of the user is certain.
fn in_doubt(doubt: Option<Failure>, err: Error) -> Error {
    match err {
        Error::NotEligible(_) | Error::Active(_) | Error::Idempotency(_) => err,
        _ => doubt.map_or(err, Error::Database),
    }
}

async fn settle(
    pool: &Pool,
    settings: &GlobalSettingsService,
    request: &Request,
    id: Uuid,
    now: DateTime<Utc>,
    deadline: Deadline,
) -> Result<Started, Error> {
    // A race with another start, or with a change, is decided by looking again; a handful of changes in
    // the time of one start is no reason to fail.
    for _ in 0..8 {
        let candidate = candidate(id, request, usable(settings)?, now);
        match attempt(pool, &candidate, now, deadline).await? {
            Outcome::Started(started) => return Ok(started),
            Outcome::Raced => (),
            Outcome::Outdated => deadline.within(refreshed(pool, settings)).await?,
        }
    }
    Err(Error::Unsettled)
}

async fn refreshed(pool: &Pool, settings: &GlobalSettingsService) -> Result<(), Error> {
    match settings::refresh(pool, settings).await {
        Err(settings::ReloadError::Invalid(_)) => usable(settings).map(drop),
        refreshed => Ok(refreshed.map(drop)?),
    }
}

/// The settings of the current snapshot, while the database's are valid. Nine look-ups: nothing beside the
/// round trip that follows, so they are not kept.
fn usable(settings: &GlobalSettingsService) -> Result<Arc<SessionSettings>, Error> {
    if !settings.is_sound() {
        let faults = settings.faults();
        let told = faults.iter().map(|it| (it.key.clone(), it.detail.clone()));
        return Err(Error::Settings(told.collect()));
    }
    let read = SessionSettings::read(&settings.current());
    read.map(Arc::new).map_err(|unusable| Error::Settings(told(&unusable)))
}

fn told(unusable: &[Unusable]) -> Vec<(String, String)> {
    let told = unusable.iter().map(|fault| match fault {
        Unusable::Missing(key) => (key.clone(), "is missing".to_owned()),
        Unusable::Mistyped { key, wanted } => (key.clone(), format!("is not {wanted}")),
    });
    told.collect()
}

fn candidate(
    id: Uuid,
    request: &Request,
    settings: Arc<SessionSettings>,
    now: DateTime<Utc>,
) -> Candidate {
    let User { plan, level, .. } = &request.user;
    let text =
        |it: &Option<String>| it.as_deref().map_or(vec![0], |it| [b"1", it.as_bytes()].concat());
    let idempotency = request.idempotency_key.as_ref().map(|key| Idempotency {
        key: key.clone(),
        digest: idempotency::fingerprint(&[b"start", &text(plan), &text(level)]),
    });
    Candidate {
        id,
        user: request.user.clone(),
        started_at: now,
        expires_at: now + TimeDelta::minutes(settings.session_max_minutes.into()),
        settings,
        idempotency,
    }
}

enum Outcome {
    Started(Started),
    /// Another start of the same user was in between.
    Raced,
    /// The settings are newer than the candidate's.
    Outdated,
}

/// Inserts the candidate; `None` when that went without a question. Nearly always nothing stands in the way,
/// so the statement that asks no more than that comes first; the one that can tell what does, and clears away
/// a session past its time, costs the database twice as much.
async fn insert(
    conn: &mut Connection,
    candidate: &Candidate,
    bounds: &Bounds,
    permitted: bool,
) -> sqlx::Result<Option<Attempt>> {
    let met =
        |err: &sqlx::Error| err.as_database_error().is_some_and(DatabaseError::is_unique_violation);
    if permitted {
        match store::insert_if_clear(conn, candidate, bounds).await {
            Ok(true) => return Ok(None),
            Err(err) if !met(&err) => return Err(err),
            Ok(false) | Err(_) => {}
        }
    }
    store::insert_if_allowed(conn, candidate, bounds, permitted).await.map(Some)
}

async fn attempt(
    pool: &Pool,
    candidate: &Candidate,
    now: DateTime<Utc>,
    deadline: Deadline,
) -> Result<Outcome, Error> {
    let bounds = Bounds::at(now, &candidate.settings);
    let mut refusals = eligibility::check_account(&candidate.user, &candidate.settings);
    let permitted = refusals.is_empty();
    let inserted = database::once(pool, deadline, async |conn| {
        insert(conn, candidate, &bounds, permitted).await
    });
    let found = match inserted.await {
        Err(failure) if is_race(&failure) => return Ok(Outcome::Raced),
        Err(failure) => return Err(failure.into()),
        Ok(Some(found)) if !found.inserted => found,
        Ok(_) => {
            let started = Started { session: candidate.session(), replayed: false };
            return Ok(Outcome::Started(started));
        }
    };
    if let Some(id) = stored_before(&found, candidate)? {
        let read =
            async |conn: &mut Connection| Ok::<_, Failure>(store::find(conn, id, now).await?);
        let session = deadline.within(database::look(pool, read)).await?;
        let replayed = id != candidate.id;
        let started = session.map(|session| Started { session, replayed });
        return Ok(started.map_or(Outcome::Raced, Outcome::Started));
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

/// The session that the same request started before: an attempt of it whose answer was lost, or an earlier
/// one with its idempotency key.
fn stored_before(
    found: &Attempt,
    candidate: &Candidate,
) -> Result<Option<Uuid>, idempotency::Reused> {
    if found.active == Some(candidate.id) {
        return Ok(found.active);
    }
    let own = candidate.idempotency.as_ref().map(|it| &it.digest);
    match found.prior {
        Some(_) if found.prior_digest.as_ref() != own => Err(idempotency::Reused),
        prior => Ok(prior),
    }
}

/// Whether a unique index kept two starts apart.
fn is_race(failure: &Failure) -> bool {
    let indexes =
        ["brune_session_pkey", "brune_session_one_active", "brune_session_by_idempotency_key"];
    failure.constraint().is_some_and(|it| indexes.contains(&it))
}
