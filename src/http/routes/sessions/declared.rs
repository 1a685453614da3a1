//! The routes of sessions exist only where the catalog has sessions.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::{http::problem::Problem, sessions, settings::GlobalSettingsService};

/// Proof that the catalog has sessions now; a handler that takes it answers 404 otherwise.
pub(in crate::http) struct WithSessions;

impl<S> FromRequestParts<S> for WithSessions
where
    S: Send + Sync,
    GlobalSettingsService: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Problem> {
        let settings = GlobalSettingsService::from_ref(state);
        let schema = &settings.current().schema;
        if sessions::are_declared(schema) {
            return Ok(Self);
        }
        let missing = sessions::KEYS.iter().filter(|key| schema.find(key).is_none()).count();
        Err(Problem::not_found(format!(
            "the catalog {} has no sessions: it does not declare {missing} of the {} settings that a session start \
             reads",
            schema.catalog,
            sessions::KEYS.len()
        )))
    }
}
