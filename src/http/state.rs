//! What handlers may ask for.

use axum::extract::FromRef;

use crate::{
    clock::Clock,
    config::Provision,
    database::Pool,
    fleet::Fleet,
    http::{
        auth::Keys,
        limit::WriteQuota,
        ofrep::{Ofrep, Origins},
        streams::Streams,
    },
    settings::{Feed, GlobalSettingsService},
};

/// The parts a handler takes, each by `State<Part>`: its signature is its list of dependencies.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The database.
    pub pool: Pool,
    /// The current settings.
    pub settings: GlobalSettingsService,
    /// This instance among the others.
    pub fleet: Fleet,
    /// What changed, for streams.
    pub feed: Feed,
    /// The streams that are open.
    pub streams: Streams,
    /// All settings as flags, written once for each revision.
    pub ofrep: Ofrep,
    /// Whose pages may evaluate flags.
    pub origins: Origins,
    /// The time.
    pub clock: Clock,
    /// Where the keys that are not in the database come from.
    pub provision: Provision,
    /// How often one administrator may write.
    pub quota: WriteQuota,
    /// What credentials are checked against.
    pub keys: Keys,
}
