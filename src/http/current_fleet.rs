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

/// Rejects a request while an instance runs whose history cannot list entries with the action `decision`.
///
/// Emergencies and stops of starts skip the check, because they cannot wait until the instance is replaced.
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
