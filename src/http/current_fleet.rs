//! The checks that every running instance can read what a request stores.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};

use crate::{
    database::Pool,
    fleet::{FeatureLevel, Fleet},
    http::problem::Problem,
    settings::{self, SettingsWriter},
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
        let limitation = "could not list the history anymore";
        let problem = |outdated| Problem::fleet_outdated(outdated, limitation);
        if outdated.is_empty() { Ok(Self) } else { Err(problem(outdated)) }
    }
}

/// Rejects the beginning and the next stage of a rollout while an instance of an older release runs: session starts of the instance would
/// have no arm, and the instance could not read the proposal.
pub(in crate::http) struct RolloutFleet {
    pool: Pool,
    fleet: Fleet,
}

impl<S> FromRequestParts<S> for RolloutFleet
where
    S: Send + Sync,
    Pool: FromRef<S>,
    Fleet: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self { pool: Pool::from_ref(state), fleet: Fleet::from_ref(state) })
    }
}

impl RolloutFleet {
    /// Requires that every running instance knows rollouts, if the application of the edition would begin a rollout.
    pub(in crate::http) async fn require(
        &self,
        writer: &SettingsWriter,
        (number, edition): (i64, i32),
    ) -> Result<(), Problem> {
        // Outside of the lock: an edition never changes, so neither does the answer while the proposal is open.
        if settings::begins_rollout(writer, number, edition).await? {
            self.require_current().await?;
        }
        Ok(())
    }

    /// Requires that every running instance knows rollouts.
    pub(in crate::http) async fn require_current(&self) -> Result<(), Problem> {
        let outdated = self.fleet.outdated(&self.pool, FeatureLevel::Rollouts).await?;
        if outdated.is_empty() {
            return Ok(());
        }
        Err(Problem::fleet_outdated(outdated, "do not know rollouts"))
    }
}
