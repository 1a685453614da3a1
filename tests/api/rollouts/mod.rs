//! Rollouts: a change takes effect for a share of the users first.

mod conflicts;
mod due;
mod emergencies;
mod messages;
mod people;
mod plans;
mod rule;
mod steps;

use serde_json::{Value, json};

use crate::{
    proposals::{PROPOSALS, apply, find, post, proposal},
    support::{Instance, Reply, TestApp, psql},
};

const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
const ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";
/// A model of the allowlist that is not the current one.
const MINI: &str = "gpt-realtime-2.1-mini";

/// A proposal of `changes` with the default rollout.
fn with_rollout(changes: &[(&str, Value, i64)]) -> Value {
    let mut body = proposal(changes);
    body["plan"] = json!({"rollout": {}});
    body
}

/// Proposes a rollout of `changes` as `ana`; returns the number.
async fn propose(instance: &Instance, changes: &[(&str, Value, i64)]) -> i64 {
    let reply = post(instance, "ana", PROPOSALS, &with_rollout(changes)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body["number"].as_i64().unwrap()
}

/// Begins a rollout of `changes`, which need no approval; returns the number.
async fn begin(instance: &Instance, changes: &[(&str, Value, i64)]) -> i64 {
    let number = propose(instance, changes).await;
    let begun = apply(instance, "ana", number).await.ok();
    assert_eq!(begun["rollout"], "begun", "{begun}");
    number
}

/// Takes a step of a rollout as `person`.
async fn step(instance: &Instance, person: &str, number: i64, action: &str) -> Reply {
    let path = format!("{PROPOSALS}/{number}/rollout");
    post(instance, person, &path, &json!({"action": action, "reason": "as agreed"})).await
}

async fn state(instance: &Instance, number: i64) -> String {
    find(instance, number).await["state"].as_str().unwrap().to_owned()
}

/// The number of changes of what a start may do that are no revision.
async fn epoch(app: &TestApp) -> i64 {
    psql::count(&app.db.admin(), "select epoch from app_global_setting_head").await
}

/// The members `names` of `object`.
fn members<'a>(object: &'a Value, names: &[&str]) -> Vec<&'a Value> {
    names.iter().map(|name| &object[*name]).collect()
}
