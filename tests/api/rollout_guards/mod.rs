//! The guards of a rollout: failing users are counted from the rows, and the rule reverts, widens, promotes and holds.

mod agreement;
mod ending;
mod holds;
mod page;
mod preview;
mod races;
mod steps;
mod unreadable;

use brune::{
    rollouts,
    sessions::{RolloutWorker, StepOutcome},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{
    INTERNAL_KEY, Instance, Reply, TestApp, admin, realtime_stub::Stub, services::Services,
};

const PROMPT_ID: &str = "BRUNE_PROMPT_ID";
const PROMPT_VERSION: &str = "BRUNE_PROMPT_VERSION";
const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
const ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";

/// One stage of 10 % with the guard `start_failed`, which three failing candidate users trip.
fn one_guard() -> Value {
    json!({"stages": [{"share": 10, "users": 50, "minutes": 0}], "guards": ["start_failed"]})
}

/// Two stages of two users each, without minutes.
fn short() -> Value {
    let stage = |share| json!({"share": share, "users": 2, "minutes": 0});
    json!({"stages": [stage(10), stage(50)], "guards": ["start_failed", "cut_short"]})
}

async fn post(instance: &Instance, path: &str, body: &Value) -> Reply {
    instance.post(path).bearer(&admin("ana")).json(body).send().await
}

/// Begins a rollout of `changes`, each a key and a value; returns the number.
async fn begin(instance: &Instance, changes: &[(&str, Value)], plan: Value) -> i64 {
    let number = propose(instance, changes, plan).await;
    let path = format!("/admin/proposals/{number}/apply");
    let applied = post(instance, &path, &json!({"edition": 1})).await.ok();
    assert_eq!(applied["rollout"], "begun", "{applied}");
    number
}

async fn propose(instance: &Instance, changes: &[(&str, Value)], plan: Value) -> i64 {
    let change = |(key, value): &(&str, Value)| json!({"key": key, "value": value, "version": 1});
    let changes: Vec<_> = changes.iter().map(change).collect();
    let body = json!({"reason": "reads better", "changes": changes, "plan": {"rollout": plan}});
    post(instance, "/admin/proposals", &body).await.ok()["number"].as_i64().unwrap()
}

/// Takes a step of a rollout as a person.
async fn step(instance: &Instance, number: i64, action: &str) -> Value {
    let path = format!("/admin/proposals/{number}/rollout");
    let mut body = json!({"action": action, "reason": "as agreed"});
    if action == "advance" {
        body["stage"] = find(instance, number).await["stage"].clone();
    }
    post(instance, &path, &body).await.ok()
}

/// The document of a rollout.
async fn find(instance: &Instance, number: i64) -> Value {
    let path = format!("/admin/proposals/{number}/rollout");
    instance.get(&path).bearer(&admin("reader")).send().await.ok()
}

/// The guard `name` of a document.
fn guard<'a>(rollout: &'a Value, name: &str) -> &'a Value {
    rollout["guards"].as_array().unwrap().iter().find(|guard| guard["guard"] == name).unwrap()
}

/// Returns `count` new users of the arm at the current share.
async fn users(app: &TestApp, number: i64, is_candidate: bool, count: usize) -> Vec<String> {
    let sql = "select salt, share_bp from brune_proposal where number = $1";
    let row: (Vec<u8>, i32) =
        sqlx::query_as(sql).bind(number).fetch_one(&app.db.pool()).await.unwrap();
    let (salt, share_bp) = row;
    let is_of_arm =
        |user: &String| (i32::from(rollouts::bucket(&salt, user)) < share_bp) == is_candidate;
    let users = std::iter::repeat_with(|| format!("user-{}", Uuid::new_v4().simple()));
    users.filter(is_of_arm).take(count).collect()
}

/// Starts a session of `user` on plan `pro`, as a trusted service.
async fn start(instance: &Instance, user: &str) -> Reply {
    start_with(instance, &json!({"user_id": user, "plan": "pro"})).await
}

async fn start_with(instance: &Instance, body: &Value) -> Reply {
    let call = instance.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
    call.json(body).send().await
}

/// Starts sessions of `count` new users of the arm; returns the sessions.
async fn start_many(app: &TestApp, number: i64, is_candidate: bool, count: usize) -> Vec<Value> {
    let mut sessions = Vec::new();
    for user in users(app, number, is_candidate, count).await {
        sessions.push(start(&app.instance, &user).await.ok());
    }
    sessions
}

/// Ends a session as its user.
async fn end(instance: &Instance, session: &Value) {
    let path = format!("/brun-e/sessions/{}/end", session["session_id"].as_str().unwrap());
    instance.post(&path).header("x-internal-api-key", INTERNAL_KEY).send().await.ok();
}

/// An instance that calls the provider `stub`.
async fn with_provider(app: &TestApp, stub: &Stub) -> Instance {
    let services = Services { realtime: Some(stub.url()), ..Services::default() };
    Instance::builder(app.db.own_pool().await).services(services).start().await
}

/// Moves everything of rollouts and sessions into the past, which only a superuser can.
async fn let_minutes_pass(app: &TestApp, minutes: i32) {
    let past = format!("- interval '{minutes} minutes'");
    let sql = format!(
        "begin;
         set local session_replication_role = replica;
         update brune_proposal set rolling_since = rolling_since {past}, stage_since = stage_since {past},
           resumed_at = resumed_at {past};
         update brune_session set started_at = started_at {past}, expires_at = expires_at {past},
           ended_at = ended_at {past}, starting_until = starting_until {past};
         update brune_rollout_failure set at = at {past};
         commit"
    );
    run_as_superuser(app, &sql).await;
}

async fn run_as_superuser(app: &TestApp, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&app.db.admin()).await.unwrap();
}

/// One look of a new worker of `instance`.
async fn look(instance: &Instance) -> StepOutcome {
    instance.rollout_worker().look(true).await.unwrap()
}

#[track_caller]
fn assert_stays(outcome: &StepOutcome) {
    assert!(matches!(outcome, StepOutcome::Stays), "{outcome:?}");
}

#[track_caller]
fn assert_taken(outcome: &StepOutcome, step: &str) {
    assert!(matches!(outcome, StepOutcome::Taken(taken) if *taken == step), "{outcome:?}");
}

/// A second look of the same worker, for what a worker remembers.
async fn look_again(worker: &mut RolloutWorker) -> StepOutcome {
    worker.look(true).await.unwrap()
}
