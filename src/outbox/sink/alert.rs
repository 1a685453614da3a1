//! A message as an alert for people, independent of the sink that renders it.

use serde_json::Value;

use crate::outbox::message::Message;

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Info,
    Warning,
    Critical,
    Resolved,
}

/// An alert. All texts are plain: a renderer escapes them.
#[derive(Debug)]
pub(super) struct Alert<'a> {
    pub(super) title: String,
    pub(super) severity: Severity,
    /// A sentence that precedes the items.
    pub(super) text: String,
    pub(super) items: Vec<Item<'a>>,
    /// The number of items, including those that the message omits.
    pub(super) total: i64,
    /// Names and values of further facts.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) request_id: Option<&'a str>,
}

/// A line of an alert.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// A changed setting.
    Change { key: &'a str, old: &'a Value, new: &'a Value, version: i64 },
    /// A proposed value.
    Proposed { key: &'a str, value: &'a Value },
    /// The key of a setting or secret.
    Key(&'a str),
}

impl<'a> Item<'a> {
    fn proposed(change: &'a Value) -> Self {
        Self::Proposed { key: change["key"].as_str().unwrap_or_default(), value: &change["value"] }
    }

    fn change(change: &'a Value) -> Self {
        Self::Change {
            // Another release may have stored other members; an incomplete alert beats no alert.
            key: change["key"].as_str().unwrap_or_default(),
            old: &change["old_value"],
            new: &change["new_value"],
            version: change["version"].as_i64().unwrap_or_default(),
        }
    }
}

impl<'a> Alert<'a> {
    /// Describes `message`.
    pub(super) fn new(message: &'a Message) -> Self {
        let payload = &message.payload;
        let total = payload["total"].as_i64().unwrap_or_default();
        let mut text = String::new();
        let (title, severity, items) = match message.topic.as_str() {
            "settings.changed" => {
                (change_title(payload, total, "changed"), Severity::Info, changes(payload))
            }
            "settings.rolled_back" => {
                (change_title(payload, total, "rolled back"), Severity::Warning, changes(payload))
            }
            "settings.imported" => {
                (change_title(payload, total, "imported"), Severity::Info, changes(payload))
            }
            "settings.refused" => {
                let title = format!("Write of {} rejected", settings(total));
                (title, Severity::Warning, keys(payload, "keys"))
            }
            "secrets.cleaned" => {
                let title = "Secrets removed from the database".to_owned();
                (title, Severity::Info, keys(payload, "removed"))
            }
            "instance.unhealthy" => {
                let state = payload["what"].as_str().unwrap_or_default();
                let (description, severity) = instance_state(state);
                text = instance_text(state, message.has_sessions);
                let host = payload["host"].as_str().unwrap_or_default();
                (format!("Instance on {host} {description}"), severity, keys(payload, "keys"))
            }
            "proposal.written" => {
                (written_title(payload, total), Severity::Info, proposed(payload))
            }
            "proposal.judged" => {
                let (title, severity) = verdict_title(payload);
                (title, severity, Vec::new())
            }
            "proposal.settled" => {
                let (title, severity) = settled_title(payload);
                (title, severity, keys(payload, "keys"))
            }
            "proposal.bypassed" => {
                text = String::from("Somebody else has to acknowledge the emergency.");
                (bypass_title(payload), Severity::Critical, keys(payload, "keys"))
            }
            "rollout.moved" => {
                let (title, severity) = rollout_title(payload);
                text = rollout_text(payload);
                (title, severity, keys(payload, "keys"))
            }
            "starts.stopped" => {
                let (title, severity) = starts_title(payload);
                (title.to_owned(), severity, Vec::new())
            }
            // Another release may have stored an unknown topic.
            topic => (topic.to_owned(), Severity::Info, Vec::new()),
        };
        let request_id = payload["request_id"].as_str();
        Self { title, severity, text, items, total, facts: facts(message), request_id }
    }
}

/// Returns the URL of details about `message` in the console at `public_url`.
pub(super) fn link(public_url: &str, message: &Message) -> String {
    let payload = &message.payload;
    match (&payload["request_id"], &payload["revision"]) {
        (Value::String(request), _) => format!("{public_url}/admin/#/history?request_id={request}"),
        (_, Value::Number(revision)) => format!("{public_url}/admin/#/history?revision={revision}"),
        // Discord merges cards with equal URLs in one message, so the id makes the URL unique.
        _ => format!("{public_url}/admin/#/fleet?message={}", message.id),
    }
}

/// Returns the subject of `message`: a proposal, key, session, instance, revision or the topic.
pub(super) fn subject(message: &Message) -> String {
    let payload = &message.payload;
    let single_key = |list: &Value| match list.as_array().map(Vec::as_slice) {
        // Entries are objects for changes and strings for rejected keys.
        Some([entry]) => entry["key"].as_str().or(entry.as_str()).map(str::to_owned),
        _ => None,
    };
    let text = |member: &str| payload[member].as_str().map(str::to_owned);
    let proposal = payload["proposal"].as_i64().map(|number| format!("proposal {number}"));
    let revision = || payload["revision"].as_i64().map(|revision| format!("revision {revision}"));
    proposal
        .or_else(|| single_key(&payload["changed"]))
        .or_else(|| single_key(&payload["keys"]))
        .or_else(|| text("session_id"))
        .or_else(|| text("instance"))
        .or_else(revision)
        .unwrap_or_else(|| message.topic.clone())
}

fn settings(count: i64) -> String {
    if count == 1 { "1 setting".to_owned() } else { format!("{count} settings") }
}

fn change_title(payload: &Value, total: i64, verb: &str) -> String {
    let revision = payload["revision"].as_i64().unwrap_or_default();
    format!("{} {verb}: revision {revision}", settings(total))
}

fn changes(payload: &Value) -> Vec<Item<'_>> {
    payload["changed"].as_array().into_iter().flatten().map(Item::change).collect()
}

fn proposed(payload: &Value) -> Vec<Item<'_>> {
    payload["changes"].as_array().into_iter().flatten().map(Item::proposed).collect()
}

fn proposal_name(payload: &Value) -> String {
    format!("Proposal {}", payload["proposal"].as_i64().unwrap_or_default())
}

fn written_title(payload: &Value, total: i64) -> String {
    let name = proposal_name(payload);
    match payload["edition"].as_i64() {
        Some(edition) if edition > 1 => format!("{name}, edition {edition}: {}", settings(total)),
        _ => format!("{name}: {}", settings(total)),
    }
}

fn verdict_title(payload: &Value) -> (String, Severity) {
    let (verdict, severity) = match payload["verdict"].as_str().unwrap_or_default() {
        "approve" => ("approved", Severity::Info),
        "object" => ("has an objection", Severity::Warning),
        "acknowledge" => ("acknowledged", Severity::Resolved),
        // A newer release may know another verdict.
        verdict => (verdict, Severity::Info),
    };
    (format!("{} {verdict}", proposal_name(payload)), severity)
}

fn settled_title(payload: &Value) -> (String, Severity) {
    let name = proposal_name(payload);
    match payload["state"].as_str().unwrap_or_default() {
        "applied" => {
            let revision = payload["revision"].as_i64().unwrap_or_default();
            (format!("{name} applied: revision {revision}"), Severity::Info)
        }
        "failed" => {
            let failure = payload["failure"].as_str().unwrap_or_default();
            (format!("{name} failed: {failure}"), Severity::Critical)
        }
        state => (format!("{name} {state}"), Severity::Info),
    }
}

fn bypass_title(payload: &Value) -> String {
    let name = proposal_name(payload);
    match payload["is_reminder"].as_bool() {
        Some(true) => format!("{name}: emergency still not acknowledged"),
        _ => format!("{name}: emergency change without approval"),
    }
}

fn rollout_title(payload: &Value) -> (String, Severity) {
    let proposal = payload["proposal"].as_i64().unwrap_or_default();
    let share = payload["share"].as_i64().unwrap_or_default();
    let (step, severity) = match payload["event"].as_str().unwrap_or_default() {
        "begun" => (format!("begun with {share} % of the users"), Severity::Info),
        "widened" => (format!("widened to {share} % of the users"), Severity::Info),
        "held" => (format!("held at {share} % of the users"), Severity::Warning),
        "resumed" => (format!("resumed at {share} % of the users"), Severity::Info),
        // Who reverts a rollout knows of it; the rule and an emergency revert without the author.
        "reverted" if payload["cause"] == "person" => ("reverted".to_owned(), Severity::Warning),
        "reverted" => ("reverted".to_owned(), Severity::Critical),
        "promoted" => ("promoted to all users".to_owned(), Severity::Resolved),
        // A newer release may know another step.
        step => (step.to_owned(), Severity::Info),
    };
    (format!("Rollout of proposal {proposal} {step}"), severity)
}

/// Says what a person has to decide, and how many sessions still have the proposed values.
fn rollout_text(payload: &Value) -> String {
    // Running sessions keep their settings to their end.
    let sessions = payload["sessions"].as_i64().unwrap_or_default();
    let still = match sessions {
        1 => " 1 running session still has the proposed values.".to_owned(),
        count => format!(" {count} running sessions still have the proposed values."),
    };
    match payload["event"].as_str().unwrap_or_default() {
        "held" => {
            "The share stays until a person decides, and the guards can still revert.".to_owned()
        }
        "reverted" if sessions > 0 => {
            format!("New sessions have the settings without the change.{still}")
        }
        "reverted" => "New sessions have the settings without the change.".to_owned(),
        _ => String::new(),
    }
}

fn starts_title(payload: &Value) -> (&'static str, Severity) {
    match payload["event"].as_str() {
        Some("resumed") => ("Session starts resumed", Severity::Resolved),
        _ => ("All session starts stopped", Severity::Critical),
    }
}

fn keys<'a>(payload: &'a Value, member: &str) -> Vec<Item<'a>> {
    let keys = payload[member].as_array().into_iter().flatten();
    keys.map(|key| Item::Key(key.as_str().unwrap_or_default())).collect()
}

fn instance_state(state: &str) -> (&'static str, Severity) {
    match state {
        "silent" => ("stopped responding", Severity::Critical),
        "settings_invalid" => ("keeps older settings", Severity::Critical),
        "settings_valid" => ("has recovered", Severity::Resolved),
        // A newer release may report a state unknown to the running release.
        _ => ("is unhealthy", Severity::Critical),
    }
}

fn instance_text(state: &str, has_sessions: bool) -> String {
    match state {
        "silent" => "No heartbeat arrived, and no shutdown was reported.".to_owned(),
        "settings_invalid" => {
            let sessions = if has_sessions { "; new sessions are rejected" } else { "" };
            format!("The settings in the database are invalid{sessions}.")
        }
        _ => String::new(),
    }
}

/// Describes the counts and the evidence of each guard that the rule saw; of a revert by a guard only the guards that
/// proved harm.
fn guard_facts(payload: &Value) -> impl Iterator<Item = String> {
    let evidence = &payload["evidence"];
    let threshold = evidence["reverts_at"].as_f64();
    let is_revert = payload["cause"] == "guard";
    let guards = evidence["guards"].as_array().into_iter().flatten();
    guards.filter_map(move |guard| {
        let name = guard["guard"].as_str()?;
        // Null counts could not be read.
        let (evidence, limit) = (guard["evidence"].as_f64()?, threshold?);
        (!is_revert || evidence >= limit).then(|| {
            let (candidate, control) = (&guard["candidate"], &guard["control"]);
            // Above, the text would have hundreds of digits.
            let evidence = evidence.min(1e15);
            format!(
                "{name}: {candidate} failing candidate users, {control} of the control; evidence {evidence:.1}, reverts at \
                 {limit:.0}"
            )
        })
    })
}

fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for (name, member) in [
        ("By", "by"),
        ("Why", "reason"),
        ("Note", "note"),
        ("Takes effect", "at"),
        ("Until", "until"),
        ("Held because", "held"),
        ("Cause", "cause"),
        ("Last session ends by", "drained_by"),
    ] {
        if let Some(text) = message.payload[member].as_str() {
            facts.push((name, text.to_owned()));
        }
    }
    facts.extend(guard_facts(&message.payload).map(|text| ("Guard", text)));
    if let Some(count) = message.older_sessions {
        facts.push(("Active sessions on older settings", count.to_string()));
    }
    facts
}
