//! Proposals: protected settings change only with the approval of other people.

mod attacks;
mod bad_input;
mod catalog;
mod complaints;
pub(crate) mod due;
mod fleet;
mod history;
mod invariants;
mod large;
mod messages;
mod pages;
mod people;
mod races;
mod refused_texts;
mod repeats;
mod secrets;
mod stored;
pub(crate) mod write_paths;

use serde_json::{Value, json};

use crate::{
    settings::{COOLDOWN, PER_DAY},
    support::{Call, Instance, Reply, TestApp, admin},
};

pub(crate) const PROPOSALS: &str = "/admin/proposals";
/// Needs the approvals of two people in [`protected`].
pub(crate) const PROMPT: &str = "BRUNE_PROMPT_VERSION";

/// A service whose catalog protects the cooldown by one approval and the version of the prompt by two.
pub(crate) async fn protected() -> TestApp {
    TestApp::with_catalog(&catalog()).await
}

/// The catalog of [`protected`].
pub(crate) fn catalog() -> String {
    let protect = |catalog: String, key: &str, approvals: u8| {
        let line = format!("key = \"{key}\"");
        assert!(catalog.contains(&line), "{key}");
        catalog.replacen(&line, &format!("{line}\napprovals = {approvals}"), 1)
    };
    let catalog = protect(brune::settings::BRUN_E.to_owned(), COOLDOWN, 1);
    protect(catalog, PROMPT, 2)
}

/// A proposal of `changes`, each a key, a value and the version read.
pub(crate) fn proposal(changes: &[(&str, Value, i64)]) -> Value {
    let change = |(key, value, version): &(&str, Value, i64)| json!({"key": key, "value": value, "version": version});
    let changes: Vec<_> = changes.iter().map(change).collect();
    json!({"reason": "reads better", "changes": changes})
}

pub(crate) async fn post(instance: &Instance, person: &str, path: &str, body: &Value) -> Reply {
    instance.post(path).bearer(&admin(person)).json(body).send().await
}

/// Proposes as `person`; returns the number.
async fn propose(instance: &Instance, person: &str, changes: &[(&str, Value, i64)]) -> i64 {
    let reply = post(instance, person, PROPOSALS, &proposal(changes)).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.body["number"].as_i64().unwrap()
}

pub(crate) async fn judge(instance: &Instance, person: &str, number: i64, body: Value) -> Reply {
    post(instance, person, &format!("{PROPOSALS}/{number}/verdicts"), &body).await
}

/// Approves edition 1 as `person`.
pub(crate) async fn approve(instance: &Instance, person: &str, number: i64) -> Reply {
    judge(instance, person, number, json!({"edition": 1, "verdict": "approve"})).await
}

pub(crate) async fn apply(instance: &Instance, person: &str, number: i64) -> Reply {
    let path = format!("{PROPOSALS}/{number}/apply");
    post(instance, person, &path, &json!({"edition": 1})).await
}

pub(crate) async fn find(instance: &Instance, number: i64) -> Value {
    get(instance, &format!("{PROPOSALS}/{number}")).send().await.ok()
}

pub(crate) fn get<'a>(instance: &'a Instance, path: &str) -> Call<'a> {
    instance.get(path).bearer(&admin("reader"))
}

/// The codes of the blocks of a proposal.
pub(crate) fn blocks(proposal: &Value) -> Vec<&str> {
    let blocks = proposal["blocks"].as_array().unwrap();
    blocks.iter().map(|block| block["code"].as_str().unwrap()).collect()
}

pub(crate) async fn value(instance: &Instance, key: &str) -> (Value, i64) {
    let setting = get(instance, &format!("/admin/global-settings/{key}")).send().await.ok();
    (setting["value"].clone(), setting["version"].as_i64().unwrap())
}

/// Replaces edition `edition` of a proposal as `person`.
pub(crate) async fn edit(
    instance: &Instance,
    person: &str,
    number: i64,
    edition: i64,
    body: &Value,
) -> Reply {
    let call = instance.call(reqwest::Method::PUT, &format!("{PROPOSALS}/{number}"));
    let call = call.bearer(&admin(person)).header("if-match", &format!("\"e{edition}\""));
    call.json(body).send().await
}

pub(crate) async fn withdraw(instance: &Instance, person: &str, number: i64) -> Reply {
    let path = format!("{PROPOSALS}/{number}/withdraw");
    post(instance, person, &path, &json!({"reason": "not now"})).await
}
