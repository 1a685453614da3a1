//! `brune rollout status`: the state of a rollout, in lines and as a table.

use serde_json::Value;

use crate::cli::{
    client::{Client, Failure},
    proposal::watch_document,
    rollout::path_of,
    show::{Output, cell, show as show_rows},
};

pub(super) async fn show(client: &Client, output: Output, number: i64) -> Result<(), Failure> {
    let rollout = client.get(&path_of(number)).await?;
    show_rows(output, &["FIELD", "VALUE"], &rows(&rollout), &rollout)
}

/// Prints a line for each change, until the rollout ends.
///
/// # Errors
/// The rollout is reverted.
pub(super) async fn watch(
    client: &Client,
    output: Output,
    number: i64,
    interval_seconds: u64,
) -> Result<(), Failure> {
    watch_document(client, output, &path_of(number), interval_seconds, (describe, outcome)).await
}

/// Returns the result of the command if the rollout has ended.
fn outcome(rollout: &Value, line: &str) -> Option<Result<(), Failure>> {
    // A rollout that runs has no end yet, so the watch goes on.
    match rollout["ended"]["outcome"].as_str()? {
        "promoted" => Some(Ok(())),
        _ => Some(Err(Failure::rejected(line))),
    }
}

/// Describes a rollout in one line.
pub(super) fn describe(rollout: &Value) -> String {
    let number = &rollout["proposal"];
    let ended = &rollout["ended"];
    // The end first: an ended rollout keeps its last stage and share.
    if ended.is_object() {
        return format!("the rollout of proposal {number} is {}", ending(ended));
    }
    let reach = format!("{} % of the users ({})", rollout["share"], stage_of(rollout));
    if rollout["held"].is_object() {
        return format!(
            "the rollout of proposal {number} is held at {reach}: {}",
            describe_hold(rollout)
        );
    }
    let progress = waits_for(rollout).map_or(String::new(), |text| format!(", {text}"));
    format!("proposal {number} rolls out to {reach}{progress}")
}

/// Returns the next step, as a command; `None` without a step of a person.
pub(super) fn next_step(rollout: &Value) -> Option<String> {
    let number = &rollout["proposal"];
    if rollout["held"].is_object() {
        let reason = rollout["held"]["reason"].as_str().unwrap_or_default();
        // After these holds more users or hours would seldom help; all other holds can end when the cause is gone.
        let steps = match reason {
            "inconclusive" | "max_hours" | "completed" => &["promote", "revert"][..],
            // No count of such a rollout can be trusted, so a longer rollout would not help.
            "assignment_off" => &["revert"],
            _ => &["resume", "revert"],
        };
        if reason == "not_approved" {
            let edition = &rollout["edition"];
            return Some(format!(
                "by another person: brune proposal approve {number} --edition {edition}; then brune rollout resume \
                 {number} --reason TEXT, or brune rollout revert {number} --reason TEXT"
            ));
        }
        let command = |step: &&str| format!("brune rollout {step} {number} --reason TEXT");
        let commands: Vec<_> = steps.iter().map(command).collect();
        return Some(commands.join(", or "));
    }
    // Sessions keep the settings of their start, also after a revert.
    let is_reverted = rollout["ended"]["outcome"] == "reverted";
    let still_running = rollout["running"]["sessions"].as_i64().unwrap_or_default();
    (is_reverted && still_running > 0)
        .then(|| format!("brune rollout end-sessions {number} --reason TEXT"))
}

/// Formats a rollout as rows of a name and a value.
fn rows(rollout: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    let list = |name: &str| rollout[name].as_array().into_iter().flatten();
    add("proposal", format!("{}, edition {}", rollout["proposal"], rollout["edition"]));
    add("state", state(rollout));
    add("share", format!("{} % of the users, {}", rollout["share"], stage_of(rollout)));
    // A row for each stage and guard, so that `grep` finds a single one.
    for stage in list("stages") {
        let [share, users, minutes] = ["share", "users", "minutes"].map(|name| &stage[name]);
        let needs = format!("{users} candidate users and {minutes} minutes");
        add("stage", format!("{share} % of the users, until {needs}"));
    }
    add("then", last_step(rollout));
    add("users", users(&rollout["users"]));
    list("guards").for_each(|entry| add("guard", guard(entry)));
    let assignment = &rollout["assignment"];
    let (seen, limit) = (evidence(&assignment["evidence"]), evidence(&assignment["holds_at"]));
    add("assignment", format!("evidence {seen}, holds at {limit}"));
    // The service reports conditions of an ended rollout as met.
    if rollout["ended"].is_null()
        && let Some(progress) = waits_for(rollout)
    {
        add("progress", progress);
    }
    add("running", running(&rollout["running"]));
    if let Some(step) = next_step(rollout) {
        add("next", step);
    }
    rows
}

fn state(rollout: &Value) -> String {
    if rollout["ended"].is_object() {
        return ending(&rollout["ended"]);
    }
    let since = cell(&rollout["rolling_since"]);
    if rollout["held"].is_object() {
        return format!("rolling since {since}, held: {}", describe_hold(rollout));
    }
    format!("rolling since {since}")
}

fn ending(ended: &Value) -> String {
    let [outcome, author, at, reason] =
        ["outcome", "by", "at", "reason"].map(|name| cell(&ended[name]));
    if outcome == "promoted" {
        return format!("promoted by {author} at {at}, revision {}", ended["revision"]);
    }
    format!("reverted by {author} at {at} ({}): {reason}", cell(&ended["cause"]))
}

/// Describes why the rollout is held, since when, and by whom.
fn describe_hold(rollout: &Value) -> String {
    let hold = &rollout["held"];
    let [reason, since] = ["reason", "since"].map(|name| cell(&hold[name]));
    let author =
        hold["by"].as_str().map_or(String::new(), |_| format!(" by {}", cell(&hold["by"])));
    let note = match hold["note"].as_str() {
        None | Some("") => String::new(),
        Some(_) => format!(": {}", cell(&hold["note"])),
    };
    format!("{reason}{author} since {since}{note}")
}

fn stage_of(rollout: &Value) -> String {
    let stages = rollout["stages"].as_array().map_or(0, Vec::len);
    format!("stage {} of {stages}", rollout["stage"])
}

fn last_step(rollout: &Value) -> String {
    let hours = &rollout["max_hours"];
    let step = if rollout["then"] == "hold" { "wait for a person" } else { "promote" };
    format!("{step}; at most {hours} hours")
}

fn users(users: &Value) -> String {
    // Null counts could not be read, and zeros would look like a rollout without users.
    if users.is_null() {
        return "unknown: the users could not be counted".to_owned();
    }
    let [candidate, control, stage] =
        ["candidate", "control", "stage_candidate"].map(|name| cell(&users[name]));
    format!("candidate {candidate} ({stage} count for the stage), control {control}")
}

fn guard(guard: &Value) -> String {
    let name = cell(&guard["guard"]);
    let [candidate, control] = ["candidate", "control"].map(|name| cell(&guard[name]));
    let counts = format!("failing users: candidate {candidate}, control {control}");
    // Without evidence: nothing follows from the counts of such a guard.
    if guard["judges"] == false {
        return format!("{name}: does not judge; {counts}");
    }
    let (seen, limit) = (evidence(&guard["evidence"]), evidence(&guard["reverts_at"]));
    format!("{name}: {}; {counts}; evidence {seen}, reverts at {limit}", cell(&guard["zone"]))
}

/// Describes what the next stage waits for; `None` if the response does not say.
fn waits_for(rollout: &Value) -> Option<String> {
    let waits = &rollout["waits_for"];
    waits.as_object()?;
    // A condition that is met is not worth a word.
    let count = |name: &str, noun: &str| {
        let count = waits[name].as_f64().filter(|count| *count > 0.0)?;
        let count = count.to_string();
        let ending = if count == "1" { "" } else { "s" };
        Some(format!("{count} {noun}{ending}"))
    };
    let names = |name: &str, noun: &str| {
        let names: Vec<_> = waits[name].as_array()?.iter().map(cell).collect();
        (!names.is_empty()).then(|| format!("{noun} {}", names.join(", ")))
    };
    let parts = [
        count("users", "candidate user"),
        count("minutes", "minute"),
        names("guards", "clear evidence of"),
        names("unreadable", "readable counts of"),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let conditions = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
    Some(format!("waits for {conditions}"))
}

fn running(running: &Value) -> String {
    let sessions = &running["sessions"];
    if sessions.is_null() {
        return "unknown: the sessions could not be counted".to_owned();
    }
    if *sessions == 0 {
        return "no session has the settings of the rollout".to_owned();
    }
    let noun = if *sessions == 1 { "session has" } else { "sessions have" };
    format!("{sessions} {noun} the settings of the rollout, until {}", cell(&running["drained_by"]))
}

/// Formats evidence with the digits that matter.
fn evidence(evidence: &Value) -> String {
    // The rule compares with hundreds: decimals matter near 1 only.
    match evidence.as_f64() {
        None => "unknown".to_owned(),
        // A product of many ratios has hundreds of digits.
        Some(number) if number >= 1e6 => format!("{number:.1e}"),
        Some(number) if number >= 100.0 => format!("{number:.0}"),
        Some(number) if number >= 10.0 => format!("{number:.1}"),
        Some(number) => format!("{number:.2}"),
    }
}
