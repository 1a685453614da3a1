//! The routes of sessions exist only if the catalog declares sessions.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::{http::problem::Problem, sessions, settings::GlobalSettingsService};

/// Proof that the current catalog declares sessions; otherwise the handler responds 404.
pub(in crate::http) struct WithSessions;

impl<S> FromRequestParts<S> for WithSessions
where
    S: Send + Sync,
    GlobalSettingsService: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Problem> {
        let settings = GlobalSettingsService::from_ref(state);
        // Checked for each request: the catalog can change while the process runs.
        let schema = &settings.current().schema;
        if sessions::are_declared(schema) {
            return Ok(Self);
        }
        // Only a count: the caller may be an ordinary user.
        let missing = sessions::KEYS.iter().filter(|key| schema.find(key).is_none()).count();
        Err(Problem::not_found(format!(
            "the catalog {} has no sessions: it does not declare {missing} of the {} settings that a session start \
             reads",
            schema.catalog,
            sessions::KEYS.len()
        )))
    }
}
