//! A message, told to people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::outbox::{
    Message,
    sink::discord::{Embed, code, cut, plain},
};

const BLUE: u32 = 0x0034_98DB;
const ORANGE: u32 = 0x00E6_7E22;
const RED: u32 = 0x00E7_4C3C;
const GREEN: u32 = 0x002E_CC71;

/// Characters of a value: two of them, and the key, must leave room for others.
const VALUE: usize = 200;
/// Characters of all lines of a change set together, the last of which says how many are left out.
const LINES: usize = 3_500;
/// Characters of what somebody wrote.
const WORDS: usize = 500;

/// `message` as a card, which leads into the service at `public_url`.
pub(super) fn embed(message: &Message, public_url: Option<&str>) -> Embed {
    let payload = &message.payload;
    let (title, description, color) = match message.topic.as_str() {
        "settings.changed" => (changed(payload, "changed"), changes(payload), BLUE),
        "settings.rolled_back" => (changed(payload, "rolled back"), changes(payload), ORANGE),
        "settings.imported" => (changed(payload, "imported"), changes(payload), BLUE),
        "settings.refused" => (
            format!("A write of {} was refused", settings(count(payload))),
            names(payload, "keys"),
            ORANGE,
        ),
        "secrets.cleaned" => {
            ("Secrets were removed from the database".to_owned(), names(payload, "removed"), BLUE)
        }
        "instance.unhealthy" => unhealthy(payload, message.has_sessions),
        other => (other.to_owned(), String::new(), BLUE),
    };
    let mut fields = Vec::new();
    for (name, key) in [("By", "by"), ("Why", "reason")] {
        if let Some(text) = payload[key].as_str() {
            fields.push((name, plain(&cut(text, WORDS))));
        }
    }
    if let Some(count) = message.older_sessions {
        fields.push(("Running sessions on older settings", count.to_string()));
    }
    let request = payload["request_id"].as_str();
    Embed {
        title,
        description,
        url: public_url.map(|it| link(it, message)),
        color,
        at: Some(message.at),
        fields,
        footer: request.map(|it| format!("request {it}")).unwrap_or_default(),
    }
}

/// Where in the service at `public_url` there is more about `message`. Each message leads elsewhere: of cards with
/// one address only the first is shown.
pub(super) fn link(public_url: &str, message: &Message) -> String {
    let payload = &message.payload;
    match (&payload["request_id"], &payload["revision"]) {
        (Value::String(request), _) => format!("{public_url}/admin/#/history?request_id={request}"),
        (_, Value::Number(revision)) => format!("{public_url}/admin/#/history?revision={revision}"),
        _ => format!("{public_url}/admin/#/fleet?message={}", message.id),
    }
}

/// What `message` is about, in a word.
pub(super) fn subject(message: &Message) -> String {
    let payload = &message.payload;
    let single = |it: &Value| match it.as_array().map(Vec::as_slice) {
        Some([one]) => one["key"].as_str().or(one.as_str()).map(str::to_owned),
        _ => None,
    };
    let text = |key: &str| payload[key].as_str().map(str::to_owned);
    let revision = || payload["revision"].as_i64().map(|it| format!("revision {it}"));
    single(&payload["changed"])
        .or_else(|| single(&payload["keys"]))
        .or_else(|| text("session_id"))
        .or_else(|| text("instance"))
        .or_else(revision)
        .unwrap_or_else(|| message.topic.clone())
}

fn count(payload: &Value) -> i64 {
    payload["total"].as_i64().unwrap_or_default()
}

fn settings(count: i64) -> String {
    if count == 1 { "1 setting".to_owned() } else { format!("{count} settings") }
}

fn changed(payload: &Value, how: &str) -> String {
    let revision = payload["revision"].as_i64().unwrap_or_default();
    format!("{} {how}: revision {revision}", settings(count(payload)))
}

/// A line for each change, as many as there is room for.
fn changes(payload: &Value) -> String {
    let line = |it: &Value| {
        let key = code(it["key"].as_str().unwrap_or_default(), VALUE);
        let version = it["version"].as_i64().unwrap_or_default();
        format!("{key} {} → {} (v{version})", value(&it["old_value"]), value(&it["new_value"]))
    };
    lines(&payload["changed"], count(payload), line)
}

fn names(payload: &Value, member: &str) -> String {
    let line = |it: &Value| code(it.as_str().unwrap_or_default(), VALUE);
    lines(&payload[member], count(payload), line)
}

fn lines(entries: &Value, total: i64, line: impl Fn(&Value) -> String) -> String {
    let (mut told, mut left) = (String::new(), total);
    for entry in entries.as_array().into_iter().flatten() {
        let line = line(entry);
        if LINES < told.chars().count() + line.chars().count() {
            break;
        }
        let _ = writeln!(told, "{line}");
        left -= 1;
    }
    if 0 < left {
        let _ = write!(told, "and {left} more");
    }
    told
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => code(text, VALUE),
        other => code(&other.to_string(), VALUE),
    }
}

fn unhealthy(payload: &Value, has_sessions: bool) -> (String, String, u32) {
    let host = payload["host"].as_str().unwrap_or_default();
    let names = names(payload, "keys");
    match payload["what"].as_str() {
        Some("silent") => {
            (format!("Instance on {host} fell silent"), "It ended without a word.".to_owned(), RED)
        }
        Some("settings_invalid") => {
            let refused = if has_sessions { "; new sessions are refused" } else { "" };
            let told = format!("The settings in the database are invalid{refused}.\n{names}");
            (format!("Instance on {host} keeps older settings"), told, RED)
        }
        Some("settings_valid") => {
            (format!("Instance on {host} is well again"), String::new(), GREEN)
        }
        _ => (format!("Instance on {host} is not well"), names, RED),
    }
}
