//! The next step of a proposal, as a command.

use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    proposal::content::path_of,
};

/// Returns the next step of `proposal`, with the person or the purpose before the command; `None` without a step.
///
/// The step depends on the caller: only a person who wrote no edition and has given no verdict can approve.
pub(super) async fn next_step(client: &Client, proposal: &Value) -> Option<String> {
    let (number, edition) = (&proposal["number"], &proposal["edition"]);
    // Only the current edition can be approved, applied or replaced.
    if proposal["edition"] != proposal["editions"] {
        return Some(format!("brune proposal show {number}"));
    }
    match proposal["state"].as_str().unwrap_or_default() {
        // The time of a failed proposal is over, so the edition needs another time or none.
        "failed" => Some(edit_command(proposal, &rollout(proposal))),
        "applied"
            if !proposal["bypassed_by"].is_null() && proposal["acknowledged_by"].is_null() =>
        {
            let person = person_of_verdict(client, proposal).await;
            Some(format!("{person}brune proposal acknowledge {number} --edition {edition}"))
        }
        "open" => open_step(client, proposal).await,
        "rolling" => Some(format!("brune rollout status {number}")),
        _ => None,
    }
}

/// Returns the next step of an open proposal: the block that needs a new edition comes first, because a new edition needs
/// new approvals.
async fn open_step(client: &Client, proposal: &Value) -> Option<String> {
    let (number, edition) = (&proposal["number"], &proposal["edition"]);
    let mut blocks = proposal["blocks"].as_array().into_iter().flatten();
    let is_blocked = |code: &str| blocks.clone().any(|block| block["code"] == code);
    if is_blocked("invalid") {
        return Some(format!("with other changes: {}", edit_command(proposal, &times(proposal))));
    }
    if is_blocked("version_conflict") {
        let command = edit_command(proposal, &times(proposal));
        return Some(format!("on the current values: {command}"));
    }
    let objections = proposal["standing"]["objections"].as_array();
    if objections.is_some_and(|objections| !objections.is_empty()) {
        let command = edit_command(proposal, &times(proposal));
        return Some(format!("to answer the objection: {command}"));
    }
    let predecessor = &proposal["plan"]["after"];
    let is_waiting_for_predecessor = is_blocked("predecessor");
    if is_waiting_for_predecessor && is_withdrawn(client, predecessor).await {
        let command = edit_command(proposal, &(time(proposal) + &rollout(proposal)));
        return Some(format!("without proposal {predecessor}: {command}"));
    }
    if is_blocked("not_approved") {
        let person = person_of_verdict(client, proposal).await;
        return Some(format!("{person}brune proposal approve {number} --edition {edition}"));
    }
    if is_waiting_for_predecessor {
        return Some(format!("brune proposal show {predecessor}"));
    }
    if is_blocked("not_due") {
        return Some("wait: the service applies the proposal at its time".to_owned());
    }
    if is_blocked("rollout_running") {
        return Some(
            "wait for the end of the rollout: brune proposal list --state rolling".to_owned(),
        );
    }
    if is_blocked("change_frozen") {
        return Some("wait, or end the freeze: brune freeze list".to_owned());
    }
    let is_free = blocks.next().is_none();
    is_free.then(|| format!("brune proposal apply {number} --edition {edition}"))
}

/// Returns the command that replaces the current edition.
fn edit_command(proposal: &Value, times: &str) -> String {
    let (number, edition) = (&proposal["number"], &proposal["edition"]);
    format!("brune proposal edit {number} --edition {edition} --reason TEXT{times} KEY=VALUE…")
}

/// Returns the options that repeat the plan: a new edition without the options would lose the plan.
fn times(proposal: &Value) -> String {
    let after = proposal["plan"]["after"].as_i64();
    let after = after.map_or(String::new(), |number| format!(" --after {number}"));
    time(proposal) + &after + &rollout(proposal)
}

/// Returns the option that repeats the rollout of the plan.
fn rollout(proposal: &Value) -> String {
    let rollout = &proposal["plan"]["rollout"];
    // The service returns numbers and words of a fixed set, so the text has no quote.
    if rollout.is_object() { format!(" --rollout-plan '{rollout}'") } else { String::new() }
}

/// Returns the options that repeat the time of the plan.
fn time(proposal: &Value) -> String {
    let plan = &proposal["plan"];
    let Some(at) = plan["at"].as_str() else {
        return String::new();
    };
    let grace = plan["grace_minutes"].as_i64();
    let grace = grace.map_or(String::new(), |minutes| format!(" --grace {minutes}"));
    format!(" --at {at}{grace}")
}

/// Returns the words before a command that gives a verdict: none if the caller can give the verdict.
///
/// The service decides, because an author of an earlier edition cannot approve either, and names have several spellings.
async fn person_of_verdict(client: &Client, proposal: &Value) -> &'static str {
    match is_waiting_for_caller(client, proposal).await {
        Ok(true) => "",
        // After an error of this additional request the proposal is shown all the same.
        Ok(false) | Err(_) => "another person: ",
    }
}

async fn is_waiting_for_caller(client: &Client, proposal: &Value) -> Result<bool, Failure> {
    // The key limits the list to few proposals, so that a page has all.
    let key = proposal["changes"][0]["key"].as_str().unwrap_or_default();
    let query = [("waiting_for_me", "true"), ("limit", "200"), ("key", key)];
    let request = client.request(Method::GET, "/admin/proposals")?.query(&query);
    let list = client.send(request).await?.body;
    let mut proposals = list["proposals"].as_array().into_iter().flatten();
    Ok(proposals.any(|entry| entry["number"] == proposal["number"]))
}

/// Returns whether the proposal with the number was withdrawn, so that nothing can follow the proposal.
async fn is_withdrawn(client: &Client, number: &Value) -> bool {
    let Some(number) = number.as_i64() else {
        return false;
    };
    // After an error of this additional request the step is the one of an open predecessor.
    client.get(&path_of(number)).await.is_ok_and(|proposal| proposal["state"] == "withdrawn")
}
