//! What handlers may ask for.

use std::sync::Arc;

use axum::extract::FromRef;

use crate::{
    clock::Clock,
    config::Provision,
    database::Pool,
    fleet::Fleet,
    http::{
        auth::{TokenVerifier, write_quota::WriteQuota},
        path_prefix::PathPrefix,
        routes::ofrep::{Ofrep, Origins},
        serve::sse::Streams,
    },
    metrics::Metrics,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    sessions::SessionStarter,
    settings::{Feed, GlobalSettingsService, SettingsWriter},
};

/// The parts a handler takes, each by `State<Part>`: its signature is its list of dependencies.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub pool: Pool,
    /// The current settings.
    pub settings: GlobalSettingsService,
    /// Finds secrets in texts of requests.
    pub scanner: SecretScanner,
    /// Messages to other services.
    pub outbox: Outbox,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// This instance among the others.
    pub fleet: Fleet,
    /// What changed, for streams.
    pub feed: Feed,
    /// The streams that are open.
    pub streams: Streams,
    /// All settings as flags, written once for each revision.
    pub ofrep: Ofrep,
    /// What addresses in answers begin with.
    pub path_prefix: PathPrefix,
    /// Whose pages may evaluate flags.
    pub origins: Origins,
    /// The time.
    pub clock: Clock,
    /// Where the keys that are not in the database come from.
    pub provision: Provision,
    /// What takes part in session starts.
    pub starts: SessionStarter,
    /// How often one administrator may write.
    pub quota: WriteQuota,
    /// What credentials are checked against.
    pub keys: TokenVerifier,
}

/// The parts as the routes hold them. They are cloned for each request more than once, and a dozen counters that
/// all threads share would cost more than many an answer.
#[derive(Clone)]
pub(super) struct Shared(Arc<AppState>);

impl From<AppState> for Shared {
    fn from(state: AppState) -> Self {
        Self(Arc::new(state))
    }
}

macro_rules! taken_by_type {
    ($($field:ident: $part:ty,)*) => {
        $(impl FromRef<Shared> for $part {
            fn from_ref(shared: &Shared) -> Self {
                shared.0.$field.clone()
            }
        })*
    };
}

taken_by_type! {
    pool: Pool,
    settings: GlobalSettingsService,
    scanner: SecretScanner,
    outbox: Outbox,
    metrics: Metrics,
    fleet: Fleet,
    feed: Feed,
    streams: Streams,
    ofrep: Ofrep,
    origins: Origins,
    clock: Clock,
    provision: Provision,
    starts: SessionStarter,
    quota: WriteQuota,
    keys: TokenVerifier,
}

impl FromRef<Shared> for SettingsWriter {
    fn from_ref(shared: &Shared) -> Self {
        let AppState { pool, settings, scanner, outbox, .. } = &*shared.0;
        Self::new(pool.clone(), settings.clone(), scanner.clone(), outbox.clone())
    }
}
