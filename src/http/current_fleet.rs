//! The check that every running instance can read what a request stores.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::{
    database::Pool,
    fleet::{FeatureLevel, Fleet},
    http::problem::Problem,
};

/// No running instance is of a release that fails to read the action `decision` in the history.
///
/// Emergencies and stops of starts do without: they cannot wait until an instance is replaced.
pub(in crate::http) struct CurrentFleet;

impl<S> FromRequestParts<S> for CurrentFleet
where
    S: Send + Sync,
    Pool: FromRef<S>,
    Fleet: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pool = Pool::from_ref(state);
        let outdated = Fleet::from_ref(state).outdated(&pool, FeatureLevel::Decisions).await?;
        if outdated.is_empty() { Ok(Self) } else { Err(Problem::fleet_outdated(outdated)) }
    }
}
