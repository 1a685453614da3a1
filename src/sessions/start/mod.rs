//! Starting a session, in four steps: `plan` resolves the user's plan and level, `insert` writes the row if the user
//! is eligible and the settings are current, `mint` requests a client secret, `activate` activates the session.
//!
//! No database connection is held during calls of external services.

mod activate;
mod arm;
mod attempts;
mod error;
mod insert;
mod mint;
mod plan;
mod planned;
mod queue;
mod request;
mod store;

pub use attempts::forget_attempts;
pub use error::Error;
pub use request::{Request, SessionStarter, Started};

use crate::{
    database::Pool,
    outbox::Topic,
    sessions::{
        session::{Session, Status},
        start::{
            insert::{Inserted, SessionInsert},
            request::{Services, StartingSession},
        },
    },
    settings::GlobalSettingsService,
};

/// Starts a session with the settings that are current at the insert, even if another instance changed the settings:
/// the insert fails with outdated settings and is repeated with current settings.
///
/// Without a realtime provider and without messages the session is inserted as active. Otherwise the session is
/// inserted as starting, and becomes active or failed after the provider's response.
///
/// # Errors
/// The user is not eligible, an external service or the database failed, or the settings are invalid.
pub async fn start(
    starter: &SessionStarter,
    pool: &Pool,
    settings: &GlobalSettingsService,
    request: &Request,
) -> Result<Started, Error> {
    let Services { plans, realtime, per_minute, outbox, queue } = &*starter.0;
    // Before the first connection is taken, because the plan service may be slow.
    let user = plan::resolve_user(plans.as_ref(), request).await?;
    let sinks = outbox.sinks(Topic::SessionStarted);
    // With nothing to do after the insert, a single statement suffices.
    let in_two_steps = realtime.is_some() || !sinks.is_empty();
    let insert = SessionInsert {
        pool,
        queue,
        settings,
        outbox,
        request,
        user,
        per_minute: *per_minute,
        in_two_steps,
    };
    let Inserted { session, replayed, instructions } = insert.run().await?;
    // A replay gets no client secret, because only the first response may contain the secret.
    if replayed || !in_two_steps {
        return Ok(Started { session, replayed, realtime: None });
    }
    let starting = StartingSession { pool, request, session: &session };
    let client_secret = match realtime {
        Some(realtime) => Some(starting.mint(realtime, instructions.as_deref()).await?),
        None => None,
    };
    // After the mint, so no active session lacks a client secret.
    starting.activate(client_secret.as_ref(), sinks).await?;
    let session = Session { status: Status::Active, ..session };
    Ok(Started { session, replayed, realtime: client_secret })
}
