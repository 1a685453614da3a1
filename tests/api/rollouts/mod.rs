//! Guarded rollouts: a proposal takes effect for a share of the users first.

mod arms;
mod conflicts;
mod due;
mod emergencies;
mod fence;
mod http;
mod invariants;
mod messages;
mod people;
mod plans;
mod rolling;
mod rule;
mod starts;
mod steps;
mod storm;
mod what_if;

use sqlx::AssertSqlSafe;

use crate::support::TestApp;

/// A setting that a new session pins.
const PROMPT: &str = "BRUNE_PROMPT_VERSION";

/// Two stages: 10 % of the users, then half.
const PLAN: &str = r#"{"rollout": {"stages": [{"share": 10, "users": 50, "minutes": 10},
    {"share": 50, "users": 200, "minutes": 30}], "guards": ["start_failed", "cut_short"], "then": "promote",
    "max_hours": 72}}"#;

/// Runs `sql` as one transaction of the service's role; returns the error.
async fn attempt(app: &TestApp, sql: &str) -> Result<(), String> {
    let mut transaction = app.db.pool().begin().await.unwrap();
    let result = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await;
    let result = match result {
        Ok(_) => transaction.commit().await,
        Err(err) => Err(err),
    };
    result.map_err(|err| err.to_string())
}

/// Runs `sql` under the service's role.
async fn run(app: &TestApp, sql: &str) {
    attempt(app, sql).await.unwrap();
}

/// Expects `sql` to fail with a message that contains `reason`.
async fn refused(app: &TestApp, what: &str, sql: &str, reason: &str) {
    match attempt(app, sql).await {
        Ok(()) => panic!("{what}: accepted"),
        Err(err) => assert!(err.contains(reason), "{what}: {err}"),
    }
}

/// Returns the first column of the one row of `sql`, under the role of the tables' owner.
async fn scalar<T>(app: &TestApp, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&app.db.owner()).await.unwrap()
}

/// A proposal of `ada` that sets the version of the prompt to 7, with `plan`, by hand.
fn proposal(plan: &str) -> String {
    format!(
        "insert into brune_proposal (id, created_by, created_at, number)
         values (md5('proposal')::uuid, 'ada', now(), 0);
         insert into brune_proposal_edition
           (proposal, edition, written_by, reason, edits, plan, digest, written_at)
         values (md5('proposal')::uuid, 1, 'ada', 'reads better',
           '{{\"{PROMPT}\": {{\"value\": \"7\", \"version\": 1}}}}', '{plan}', '', now())"
    )
}

/// The begin of stage `stage` of proposal 1, by hand.
fn stage(stage: i16, share_bp: i32) -> String {
    format!(
        "update brune_proposal set state = 'rolling', stage = {stage}, share_bp = {share_bp}, step_by = 'ben',
           step_reason = 'go on' where number = 1"
    )
}

/// A hold of the rollout, or a resumption without `reason`, by hand.
fn hold(reason: Option<&str>) -> String {
    let reason = reason.map_or_else(|| "null".to_owned(), |reason| format!("'{reason}'"));
    format!(
        "update brune_proposal set held_reason = {reason}, step_by = 'cleo', step_reason = 'looked at the counts'
         where number = 1"
    )
}

/// The revert of the rollout, by hand.
fn revert() -> String {
    "update brune_proposal set state = 'reverted', revert_cause = 'person', ended_by = 'cleo',
       end_reason = 'too many complaints' where number = 1"
        .to_owned()
}
