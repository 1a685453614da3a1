//! Checks of the schema and the connection.

use crate::{
    app::{checks::CheckResult, error::Error},
    database::{self, Inspection, Pool},
};

pub(in crate::app) fn pooler(pool: &Pool) -> CheckResult {
    let summary = match (pool.uses_pooler(), pool.session_options()) {
        (false, _) => "none; each connection is a session",
        (true, Some(_)) => "transaction mode; sessions use DATABASE_DIRECT_URL",
        (true, None) => {
            "transaction mode without DATABASE_DIRECT_URL: changes of other instances are found by polling, and \
             migrations are rejected"
        }
    };
    CheckResult { check: "pooler", result: Ok(summary.to_owned()) }
}

pub(in crate::app) async fn migrations(pool: &Pool) -> Result<CheckResult, Error> {
    let state = database::migrations(pool).await?;
    let fix = match pool.session_options() {
        Some(_) => "run `brune migrate`",
        None => {
            "run `brune migrate` with DATABASE_DIRECT_URL set to the server itself: migrations need a session"
        }
    };
    let pending = state.pending.iter().map(|name| format!("migration {name} is pending; {fix}"));
    let altered = state.altered.iter().map(|name| {
        format!("migration {name} was altered after it ran; deploy the release that ran it")
    });
    let problems = pending.chain(altered).collect();
    Ok(CheckResult::new("migrations", problems, format!("{} applied", state.applied)))
}

/// Checks that the triggers are enabled, and that the functions have a fixed `search_path` and the right owner.
pub(in crate::app) async fn triggers_and_functions(pool: &Pool) -> Result<CheckResult, Error> {
    let Inspection { triggers, functions, defects } = database::inspect(pool).await?;
    let problems = defects.iter().map(ToString::to_string).collect();
    let summary =
        format!("{triggers} triggers enabled, {functions} functions with a fixed search_path");
    Ok(CheckResult::new("database", problems, summary))
}
