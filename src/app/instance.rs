//! An instance of the service: the state of its routes, before any task runs.

use std::num::NonZeroU32;

use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::{Auth, Provision},
    database::Pool,
    fleet::{Fleet, HeartbeatPolicy},
    http::{
        AppState, Ofrep, Origins, PathPrefix, StreamBounds, Streams, TokenVerifier, WriteQuota,
    },
    metrics::Metrics,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    sessions::{SessionStarter, WhatIfRunner},
    settings::{Feed, GlobalSettingsService},
};

/// The parts of an instance.
#[derive(Debug)]
pub struct InstanceParts {
    /// The database.
    pub pool: Pool,
    /// The settings.
    pub settings: GlobalSettingsService,
    /// The scanner of every stored text.
    pub scanner: SecretScanner,
    /// The messages to other services.
    pub outbox: Outbox,
    /// The metrics of the instance.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// The keys that the environment provides.
    pub provision: Provision,
    /// The name of the instance in the fleet.
    pub name: String,
    /// Authentication: accepted issuers and keys.
    pub auth: Auth,
    /// The public address of the service.
    pub public_url: Option<String>,
    /// Origins whose pages may read settings as flags.
    pub cors_origins: Vec<String>,
    /// The services that session starts call.
    pub session_starter: SessionStarter,
    /// The most writes of an administrator per minute.
    pub admin_writes_per_minute: NonZeroU32,
    /// The times of heartbeats.
    pub heartbeat: HeartbeatPolicy,
    /// The limits of event streams.
    pub stream_bounds: StreamBounds,
}

impl InstanceParts {
    /// Builds the state of the routes. Starts no task and does not join the fleet. Event streams end with `shutdown`.
    #[must_use]
    pub fn into_state(self, shutdown: CancellationToken) -> AppState {
        let public_url = self.public_url.as_deref();
        let keys = TokenVerifier::new(&self.auth).with_public_url(public_url);
        let path_prefix = PathPrefix::from_public_url(public_url);
        AppState {
            feed: Feed::new(&self.settings),
            fleet: Fleet::new(&self.name, self.clock.now(), self.heartbeat),
            streams: Streams::new(self.stream_bounds, shutdown),
            ofrep: Ofrep::new(keys.clone()).under(path_prefix.clone()),
            path_prefix,
            origins: Origins(self.cors_origins.into()),
            starts: self.session_starter,
            what_if: WhatIfRunner::default(),
            quota: WriteQuota::new(self.admin_writes_per_minute),
            keys,
            pool: self.pool,
            settings: self.settings,
            scanner: self.scanner,
            outbox: self.outbox,
            metrics: self.metrics,
            clock: self.clock,
            provision: self.provision,
        }
    }
}
