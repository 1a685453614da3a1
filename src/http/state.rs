//! The parts of the service, for handlers.

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
    sessions::{RolloutWorker, SessionStarter, WhatIfRunner},
    settings::{Feed, GlobalSettingsService, SettingsWriter},
};

/// The parts of the service. A handler takes each by `State<Part>`, so the signature lists the dependencies.
#[derive(Clone)]
pub struct AppState {
    /// The database.
    pub pool: Pool,
    /// The current settings.
    pub settings: GlobalSettingsService,
    /// The scanner for secrets in requests.
    pub scanner: SecretScanner,
    /// The outbox of messages to other services.
    pub outbox: Outbox,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// This instance in the fleet.
    pub fleet: Fleet,
    /// The feed of changes, for streams.
    pub feed: Feed,
    /// The open streams.
    pub streams: Streams,
    /// All settings as flags, serialized once for each revision.
    pub ofrep: Ofrep,
    /// The prefix of addresses in responses.
    pub path_prefix: PathPrefix,
    /// The origins whose pages may evaluate flags.
    pub origins: Origins,
    /// The clock.
    pub clock: Clock,
    /// The secrets and variables of the environment.
    pub provision: Provision,
    /// The parts of a session start.
    pub starts: SessionStarter,
    /// The what-if runner, one what-if at a time.
    pub what_if: WhatIfRunner,
    /// The write quota of each administrator.
    pub quota: WriteQuota,
    /// The verifier of credentials.
    pub keys: TokenVerifier,
}

impl AppState {
    /// Creates a writer of the settings, which only combines four handles.
    #[must_use]
    pub fn settings_writer(&self) -> SettingsWriter {
        let Self { pool, settings, scanner, outbox, .. } = self;
        SettingsWriter::new(pool.clone(), settings.clone(), scanner.clone(), outbox.clone())
    }

    /// Creates a worker that judges the running rollout.
    #[must_use]
    pub fn rollout_worker(&self) -> RolloutWorker {
        let Self { pool, settings, metrics, .. } = self;
        let writer = self.settings_writer();
        RolloutWorker::new(pool.clone(), settings.clone(), writer, metrics.clone())
    }
}

/// The parts behind a single counter. Every request clones the state more than once, and a dozen shared counters would
/// cost more than many a response.
#[derive(Clone)]
pub(super) struct Shared(Arc<AppState>);

impl From<AppState> for Shared {
    fn from(state: AppState) -> Self {
        Self(Arc::new(state))
    }
}

/// Lets a handler take each part by type.
macro_rules! parts {
    ($($field:ident: $part:ty,)*) => {
        $(impl FromRef<Shared> for $part {
            // Every part is a handle: a clone copies a pointer.
            fn from_ref(shared: &Shared) -> Self {
                shared.0.$field.clone()
            }
        })*
    };
}

parts! {
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
    what_if: WhatIfRunner,
    quota: WriteQuota,
    keys: TokenVerifier,
}

impl FromRef<Shared> for SettingsWriter {
    fn from_ref(shared: &Shared) -> Self {
        shared.0.settings_writer()
    }
}
