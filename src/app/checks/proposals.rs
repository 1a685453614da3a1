//! Check of the decisions about proposals.

use crate::{
    app::{checks::CheckResult, error::Error},
    database::Pool,
    proposals::{self, Verification},
};

/// Verifies editions, verdicts and protected changes against the audit trail.
pub(in crate::app) async fn check(pool: &Pool) -> Result<CheckResult, Error> {
    let Verification { editions, changes, unacknowledged, breaches, .. } =
        proposals::verify(pool).await?;
    let problems = breaches.iter().map(ToString::to_string).collect();
    let summary = format!(
        "{editions} editions unaltered, {changes} protected changes permitted, {unacknowledged} emergencies not acknowledged"
    );
    Ok(CheckResult::new("proposals", problems, summary))
}
