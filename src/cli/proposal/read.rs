//! Commands that read proposals, and how a proposal is described.

use reqwest::Method;
use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    proposal::{content::path_of, next::next_step},
    show::{Output, cell, show as show_rows},
};

pub(super) async fn list(
    client: &Client,
    output: Output,
    filters: [(&str, Option<String>); 3],
    waiting_for_me: bool,
    limit: u16,
) -> Result<(), Failure> {
    let mut query = vec![("limit", limit.to_string())];
    query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value?))));
    if waiting_for_me {
        query.push(("waiting_for_me", "true".to_owned()));
    }
    let request = client.request(Method::GET, "/admin/proposals")?.query(&query);
    let body = client.send(request).await?.body;
    let row = |proposal: &Value| {
        vec![
            cell(&proposal["number"]),
            listed_state(proposal),
            cell(&proposal["edition"]),
            listed_approvals(proposal),
            cell(&proposal["created_by"]),
            cell(&proposal["due_at"]),
            list_of(&proposal["keys"], cell),
            cell(&proposal["reason"]),
        ]
    };
    let rows: Vec<_> = body["proposals"].as_array().into_iter().flatten().map(row).collect();
    let header = ["NUMBER", "STATE", "EDITION", "APPROVALS", "BY", "AT", "KEYS", "REASON"];
    show_rows(output, &header, &rows, &body["proposals"])
}

/// Describes the state in the list: why a proposal failed, and whether an emergency was acknowledged.
fn listed_state(proposal: &Value) -> String {
    let state = cell(&proposal["state"]);
    if state == "failed" {
        return format!("{state}: {}", cell(&proposal["failure"]));
    }
    if proposal["bypassed_by"].is_null() {
        return state;
    }
    let is_acknowledged = proposal["acknowledged"] == true;
    let acknowledged = if is_acknowledged { "acknowledged" } else { "not acknowledged" };
    format!("{state}, emergency, {acknowledged}")
}

/// Describes the approvals in the list; nothing for a proposal that was applied or withdrawn.
fn listed_approvals(proposal: &Value) -> String {
    if !matches!(proposal["state"].as_str(), Some("open" | "failed")) {
        return "-".to_owned();
    }
    let count = |name: &str| proposal[name].as_u64().unwrap_or_default();
    describe_approvals(count("approvals"), &proposal["needed"], count("objections"))
}

fn list_of(values: &Value, text: impl Fn(&Value) -> String) -> String {
    let texts: Vec<_> = values.as_array().into_iter().flatten().map(text).collect();
    texts.join(", ")
}

pub(super) async fn show(
    client: &Client,
    output: Output,
    number: i64,
    edition: Option<i32>,
) -> Result<(), Failure> {
    let path = match edition {
        Some(edition) => format!("{}/editions/{edition}", path_of(number)),
        None => path_of(number),
    };
    let proposal = client.get(&path).await?;
    let mut rows = rows(&proposal);
    // A program reads the proposal itself.
    if !output.is_for_programs()
        && let Some(step) = next_step(client, &proposal).await
    {
        rows.push(vec!["next".to_owned(), step]);
    }
    show_rows(output, &["FIELD", "VALUE"], &rows, &proposal)
}

/// Formats a proposal as rows of a name and a value.
fn rows(proposal: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    let list = |name: &str| proposal[name].as_array().into_iter().flatten();
    add("proposal", cell(&proposal["number"]));
    add("state", cell(&proposal["state"]));
    add("edition", edition(proposal));
    add("digest", cell(&proposal["digest"]));
    add("reason", cell(&proposal["reason"]));
    add(
        "written",
        format!("by {} at {}", cell(&proposal["written_by"]), cell(&proposal["written_at"])),
    );
    let is_open = proposal["state"] == "open";
    list("changes").for_each(|entry| add("change", change(entry, is_open)));
    if let Some(text) = plan(&proposal["plan"]) {
        add("plan", text);
    }
    add("approvals", approval_status(proposal));
    list("verdicts").for_each(|entry| add("verdict", verdict(entry)));
    // A list has the newest entries.
    let omitted = |name: &str, count: &str| {
        let count = proposal[count].as_u64()?.checked_sub(list(name).count() as u64)?;
        (count > 0).then(|| format!("{count} older ones are not listed"))
    };
    if let Some(text) = omitted("verdicts", "verdict_count") {
        add("verdict", text);
    }
    let detail =
        |entry: &Value, name: &str| format!("{}: {}", cell(&entry[name]), cell(&entry["detail"]));
    list("blocks").for_each(|block| add("block", detail(block, "code")));
    let overlap = |entry: &Value| match entry["at"].as_str() {
        Some(at) => format!("proposal {}, at {at}", entry["number"]),
        None => format!("proposal {}", entry["number"]),
    };
    list("overlaps").for_each(|entry| add("overlap", overlap(entry)));
    if let Some(text) = omitted("overlaps", "overlap_count") {
        add("overlap", text);
    }
    if let Some(emergency) = emergency(proposal) {
        add("emergency", emergency);
        // A write in an emergency has one reason, and an applied proposal a second one.
        if proposal["end_reason"] != proposal["reason"] {
            add("emergency reason", cell(&proposal["end_reason"]));
        }
    }
    if !is_open {
        add("outcome", status(proposal));
    }
    rows
}

fn edition(proposal: &Value) -> String {
    let (shown, current) = (&proposal["edition"], &proposal["editions"]);
    if shown == current {
        return shown.to_string();
    }
    format!("{shown} (outdated: edition {current} is current)")
}

/// Describes a change: for an open proposal from the current value to the proposed one.
fn change(entry: &Value, is_open: bool) -> String {
    let key = cell(&entry["key"]);
    let value = if entry["redacted"] == true {
        "(removed with a secret)".to_owned()
    } else {
        cell(&entry["value"])
    };
    let current = cell(&entry["current_value"]);
    let needed = &entry["needed"];
    let version = cell(&entry["version"]);
    if is_open {
        return format!(
            "{key}: {current} → {value} (version {version}, approvals needed: {needed})"
        );
    }
    // The current value of a closed proposal is not the value before the change.
    format!("{key}: {value} (on version {version}; now {current})")
}

/// Describes the times and the rollout of a plan; `None` for an empty plan.
fn plan(plan: &Value) -> Option<String> {
    let at = plan["at"].as_str().map(|at| match plan["grace_minutes"].as_i64() {
        Some(minutes) => format!("at {at}, with {minutes} minutes of grace"),
        None => format!("at {at}"),
    });
    let after = plan["after"].as_i64().map(|number| format!("after proposal {number}"));
    let parts: Vec<_> = at.into_iter().chain(after).chain(rollout(&plan["rollout"])).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Describes the stages of a rollout; `None` without a rollout.
fn rollout(rollout: &Value) -> Option<String> {
    // Also of the default plan, whose stages the service has written out.
    let stage = |stage: &Value| format!("{} %", stage["share"]);
    let stages: Vec<_> = rollout["stages"].as_array()?.iter().map(stage).collect();
    let last = if rollout["then"] == "hold" { "until a person decides" } else { "then everybody" };
    Some(format!("rollout to {} of the users, {last}", stages.join(", ")))
}

fn approval_status(proposal: &Value) -> String {
    let status = &proposal["standing"];
    let count = |name: &str| status[name].as_array().map_or(0, |people| people.len() as u64);
    describe_approvals(count("approvals"), &status["needed"], count("objections"))
}

fn describe_approvals(approvals: u64, needed: &Value, objections: u64) -> String {
    let noun = if objections == 1 { "objection" } else { "objections" };
    if *needed == 0 {
        return format!("no approvals needed, {objections} {noun}");
    }
    format!("{approvals} of {needed} approvals, {objections} {noun}")
}

/// Describes who bypassed the approvals, and who acknowledged the emergency; `None` without an emergency.
fn emergency(proposal: &Value) -> Option<String> {
    proposal["bypassed_by"].as_str()?;
    let author = cell(&proposal["bypassed_by"]);
    if proposal["acknowledged_by"].is_null() {
        return Some(format!("by {author}, not acknowledged"));
    }
    Some(format!("by {author}, acknowledged by {}", cell(&proposal["acknowledged_by"])))
}

fn verdict(verdict: &Value) -> String {
    let note = match verdict["note"].as_str() {
        None | Some("") => String::new(),
        Some(_) => format!(": {}", cell(&verdict["note"])),
    };
    format!(
        "{} of edition {} by {} at {}{note}",
        cell(&verdict["verdict"]),
        verdict["edition"],
        cell(&verdict["given_by"]),
        cell(&verdict["given_at"]),
    )
}

/// Describes state and edition in one line.
pub(super) fn status(proposal: &Value) -> String {
    let number = &proposal["number"];
    match proposal["state"].as_str().unwrap_or_default() {
        "applied" => {
            let emergency = emergency(proposal);
            let emergency =
                emergency.map_or(String::new(), |text| format!(", an emergency {text}"));
            let revision = &proposal["applied_revision"];
            format!("proposal {number} is applied, revision {revision}{emergency}")
        }
        "withdrawn" => {
            let (author, reason) = (cell(&proposal["ended_by"]), cell(&proposal["end_reason"]));
            format!("proposal {number} is withdrawn by {author}: {reason}")
        }
        "failed" => format!("proposal {number} failed: {}", cell(&proposal["failure"])),
        "rolling" => format!("proposal {number} is rolling out"),
        "reverted" => {
            let (author, reason) = (cell(&proposal["ended_by"]), cell(&proposal["end_reason"]));
            format!("proposal {number} is reverted by {author}: {reason}")
        }
        _ => {
            let (edition, approvals) = (&proposal["edition"], approval_status(proposal));
            let plan = plan(&proposal["plan"]).map_or(String::new(), |plan| format!("; {plan}"));
            format!("proposal {number} is open, edition {edition}: {approvals}{plan}")
        }
    }
}
