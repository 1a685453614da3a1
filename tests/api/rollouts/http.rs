//! Rollouts over HTTP: proposing, beginning and moving them.

use serde_json::{Value, json};

use crate::{
    proposals::{PROPOSALS, apply, find, post, proposal},
    support::{Instance, Reply, TestApp, psql},
};

pub(super) const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
pub(super) const ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";
/// A model of the allowlist that is not the current one.
pub(super) const MINI: &str = "gpt-realtime-2.1-mini";

/// A proposal of `changes` with the default rollout.
pub(super) fn with_rollout(changes: &[(&str, Value, i64)]) -> Value {
    let mut body = proposal(changes);
    body["plan"] = json!({"rollout": {}});
    body
}

/// Proposes a rollout of `changes` as `ana`; returns the number.
pub(super) async fn propose(instance: &Instance, changes: &[(&str, Value, i64)]) -> i64 {
    let reply = post(instance, "ana", PROPOSALS, &with_rollout(changes)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body["number"].as_i64().unwrap()
}

/// Begins a rollout of `changes`, which need no approval; returns the number.
pub(super) async fn begin(instance: &Instance, changes: &[(&str, Value, i64)]) -> i64 {
    let number = propose(instance, changes).await;
    let begun = apply(instance, "ana", number).await.ok();
    assert_eq!(begun["rollout"], "begun", "{begun}");
    number
}

/// Takes a step of a rollout as `person`.
pub(super) async fn step(instance: &Instance, person: &str, number: i64, action: &str) -> Reply {
    let path = format!("{PROPOSALS}/{number}/rollout");
    post(instance, person, &path, &json!({"action": action, "reason": "as agreed"})).await
}

pub(super) async fn state(instance: &Instance, number: i64) -> String {
    find(instance, number).await["state"].as_str().unwrap().to_owned()
}

/// The epoch of session starts, which every stop, resumption, begin, next stage and end of a rollout raises.
pub(super) async fn epoch(app: &TestApp) -> i64 {
    psql::count(&app.db.admin(), "select epoch from app_global_setting_head").await
}

/// The members `names` of `object`.
pub(super) fn members<'a>(object: &'a Value, names: &[&str]) -> Vec<&'a Value> {
    names.iter().map(|name| &object[*name]).collect()
}
