//! Outbox messages of a change, stored in the transaction of the change.

use serde_json::{Value, json};

use crate::{
    audit::{Action, Actor},
    database::Connection,
    json::StrictJson,
    outbox::{Outbox, Topic},
    proposals,
    secret_scanner::SecretScanner,
    settings::{
        change::outcome::{ChangeResult, KeyChange},
        value::SettingValue,
    },
};

// Bounds the payload: 50 keys with old and new value are at most about 100 kB.
/// The maximum number of keys in one message; `total` is the number of all.
pub(in crate::settings) const MAX_KEYS: usize = 50;
/// The maximum length of a value in one message, in characters of JSON.
const MAX_VALUE_CHARACTERS: usize = 1_000;
/// The replacement of a text that looks like a secret.
const REDACTED: &str = "(withheld: it looks like a secret)";

/// Returns the topic of a change set; `None` for changes without a message.
pub(super) fn topic(action: Action) -> Option<Topic> {
    match action {
        Action::Update | Action::Reset => Some(Topic::SettingsChanged),
        Action::Rollback => Some(Topic::SettingsRolledBack),
        Action::Import => Some(Topic::SettingsImported),
        // Seeding is no change of an administrator; the others have messages of their own.
        Action::Seed | Action::Refused | Action::SecretCleanup | Action::Decision => None,
    }
}

/// Enqueues a message of a change set; none when no value changed.
pub(in crate::settings) async fn enqueue_changed(
    conn: &mut Connection,
    outbox: &Outbox,
    scanner: &SecretScanner,
    action: Action,
    actor: &Actor,
    result: &ChangeResult,
) -> sqlx::Result<()> {
    let Some(topic) = topic(action) else { return Ok(()) };
    if result.changed.is_empty() {
        return Ok(());
    }
    outbox.enqueue(conn, topic, &changed_payload(scanner, action, actor, result)).await
}

/// Returns the payload of the message of a change set.
pub(super) fn changed_payload(
    scanner: &SecretScanner,
    action: Action,
    actor: &Actor,
    result: &ChangeResult,
) -> Value {
    let changes = &result.changed;
    let listed: Vec<Value> =
        changes.iter().take(MAX_KEYS).map(|change| change_json(scanner, change)).collect();
    json!({
        "revision": result.revision,
        "action": action,
        "changed": listed,
        "total": changes.len(),
        "truncated": changes.len() > MAX_KEYS,
        "by": actor.user,
        "reason": actor.reason.as_str(),
        "request_id": actor.request,
    })
}

/// Enqueues a message of a refused write of `keys`, without values.
pub(in crate::settings) async fn enqueue_refused(
    conn: &mut Connection,
    outbox: &Outbox,
    actor: &Actor,
    keys: &[String],
) -> sqlx::Result<()> {
    let payload = json!({
        "keys": keys.iter().take(MAX_KEYS).collect::<Vec<_>>(),
        "total": keys.len(),
        "truncated": keys.len() > MAX_KEYS,
        "by": actor.user,
        "reason": actor.reason.as_str(),
        "request_id": actor.request,
    });
    outbox.enqueue(conn, Topic::SettingsRefused, &payload).await
}

/// The content of a message of an emergency.
pub(in crate::settings) struct EmergencyMessage<'a> {
    pub(in crate::settings) proposal: i64,
    pub(in crate::settings) edition: i32,
    pub(in crate::settings) revision: i64,
    pub(in crate::settings) keys: Vec<&'a str>,
    pub(in crate::settings) by: &'a str,
    pub(in crate::settings) reason: &'a str,
    pub(in crate::settings) request: &'a str,
}

/// Enqueues a message of an emergency, unless the emergency is acknowledged or a message is less than a day old. Returns
/// whether a message was due.
pub(in crate::settings) async fn enqueue_emergency_alert(
    conn: &mut Connection,
    outbox: &Outbox,
    scanner: &SecretScanner,
    emergency: &EmergencyMessage<'_>,
    is_reminder: bool,
) -> sqlx::Result<bool> {
    // In the transaction of the message, so that one instance sends each.
    if !proposals::record_emergency_alert(conn, emergency.proposal).await? {
        return Ok(false);
    }
    let payload = json!({
        "proposal": emergency.proposal,
        "edition": emergency.edition,
        "revision": emergency.revision,
        "keys": emergency.keys.iter().take(MAX_KEYS).collect::<Vec<_>>(),
        "total": emergency.keys.len(),
        "truncated": emergency.keys.len() > MAX_KEYS,
        "by": emergency.by,
        "reason": text_json(scanner, emergency.reason),
        "request_id": emergency.request,
        "is_reminder": is_reminder,
    });
    outbox.enqueue(conn, Topic::ProposalBypassed, &payload).await?;
    Ok(true)
}

/// Enqueues the first message of the emergency `proposal`, whose changes are `result`.
pub(in crate::settings) async fn enqueue_emergency(
    conn: &mut Connection,
    outbox: &Outbox,
    scanner: &SecretScanner,
    actor: &Actor,
    (proposal, edition): (i64, i32),
    result: &ChangeResult,
) -> sqlx::Result<()> {
    let message = EmergencyMessage {
        proposal,
        edition,
        revision: result.revision,
        keys: result.changed.iter().map(|change| change.key.as_str()).collect(),
        by: actor.user.as_str(),
        reason: actor.reason.as_str(),
        request: actor.request.as_str(),
    };
    enqueue_emergency_alert(conn, outbox, scanner, &message, false).await?;
    Ok(())
}

/// Returns `text` as JSON, redacted if secret-like. A text that `psql` wrote was never scanned.
pub(in crate::settings) fn text_json(scanner: &SecretScanner, text: &str) -> Value {
    match scanner.scan(text) {
        Some(_) => Value::from(REDACTED),
        None => Value::from(text),
    }
}

fn change_json(scanner: &SecretScanner, change: &KeyChange) -> Value {
    let KeyChange { key, old_value, new_value, version } = change;
    let old_value = old_value.as_ref().map(|value| value_json(scanner, value));
    let new_value = value_json(scanner, new_value);
    json!({"key": key, "old_value": old_value, "new_value": new_value, "version": version})
}

fn value_json(scanner: &SecretScanner, value: &SettingValue) -> Value {
    bounded_json(scanner, &value.into(), value.to_json())
}

/// Returns `json`, redacted if secret-like and cut to the maximum length. `value` is the same value.
pub(in crate::settings) fn bounded_json(
    scanner: &SecretScanner,
    value: &StrictJson,
    json: Value,
) -> Value {
    // Writes never store a secret, but an old value may be from a release with weaker rules.
    if scanner.scan_json(value).is_some() {
        return Value::from(REDACTED);
    }
    let text = json.to_string();
    // Cut after the scan, because half of a secret may match no pattern.
    match text.char_indices().nth(MAX_VALUE_CHARACTERS) {
        Some((end, _)) => Value::from(format!("{}…", &text[..end])),
        None => json,
    }
}
