//! Renders alerts as embeds: texts of users and other services are escaped.

use std::fmt::Write as _;

use serde_json::Value;

use crate::outbox::{
    message::Message,
    sink::{
        alert::{Alert, Item, Severity, link},
        discord::{
            embed::Embed,
            text::{code, cut, plain},
        },
    },
};

/// The maximum length of a key or value: a line holds three.
const VALUE_CHARS: usize = 200;
/// The maximum length of all lines.
// Leaves room within Discord's 4,096 characters for the sentence and the omitted count.
const LINES_CHARS: usize = 3_500;
/// The maximum length of a fact.
const FACT_CHARS: usize = 500;

/// Renders `message` with a link to the console at `public_url`.
pub(in crate::outbox::sink) fn embed(message: &Message, public_url: Option<&str>) -> Embed {
    let alert = Alert::new(message);
    let lines = lines(&alert.items, alert.total);
    let description = if alert.text.is_empty() { lines } else { alert.text + "\n" + &lines };
    // Cut before escaping, or a cut could separate a backslash from the escaped character.
    // Escapes at most double the length, so a fact stays below Discord's limit of 1,024.
    let fact = |(name, text): (&'static str, String)| (name, plain(&cut(&text, FACT_CHARS)));
    Embed {
        title: alert.title,
        description,
        url: public_url.map(|public_url| link(public_url, message)),
        color: color(alert.severity),
        at: Some(message.at),
        fields: alert.facts.into_iter().map(fact).collect(),
        footer: alert.request_id.map(|id| format!("request {id}")).unwrap_or_default(),
    }
}

fn color(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x0034_98DB,
        Severity::Warning => 0x00E6_7E22,
        Severity::Critical => 0x00E7_4C3C,
        Severity::Resolved => 0x002E_CC71,
    }
}

/// Renders as many of `total` items as fit, and the number of the others.
fn lines(items: &[Item<'_>], total: i64) -> String {
    let mut lines = String::new();
    let mut remaining = total;
    for item in items {
        let line = line(item);
        // The last line says how many items are missing, so whole items are omitted.
        if lines.chars().count() + line.chars().count() > LINES_CHARS {
            break;
        }
        let _ = writeln!(lines, "{line}");
        remaining -= 1;
    }
    if remaining > 0 {
        let _ = write!(lines, "and {remaining} more");
    }
    lines
}

fn line(item: &Item<'_>) -> String {
    match item {
        Item::Change { key, old, new, version } => {
            format!("{} {} → {} (v{version})", code(key, VALUE_CHARS), value(old), value(new))
        }
        Item::Proposed { key, value: proposed } => {
            format!("{} → {}", code(key, VALUE_CHARS), value(proposed))
        }
        Item::Key(key) => code(key, VALUE_CHARS),
    }
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => code(text, VALUE_CHARS),
        other => code(&other.to_string(), VALUE_CHARS),
    }
}
