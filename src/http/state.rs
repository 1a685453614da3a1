//! What handlers may ask for.

use axum::extract::FromRef;
use sqlx::PgPool;

use crate::{clock::Clock, http::auth::Keys, settings::GlobalSettingsService};

/// The parts a handler takes, each by `State<Part>`: its signature is its list of dependencies.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The database.
    pub pool: PgPool,
    /// The current settings.
    pub settings: GlobalSettingsService,
    /// The time.
    pub clock: Clock,
    /// What credentials are checked against.
    pub keys: Keys,
}
