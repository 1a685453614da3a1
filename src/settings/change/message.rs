//! Outbox messages of a change, stored in the transaction of the change.

use serde_json::{Value, json};

use crate::{
    audit::{Action, Actor},
    database::Connection,
    outbox::{Outbox, Topic},
    secret_scanner::SecretScanner,
    settings::{
        change::outcome::{ChangeResult, KeyChange},
        value::SettingValue,
    },
};

// Bounds the payload: 50 keys with old and new value are at most about 100 kB.
/// The maximum number of keys in one message; `total` is the number of all.
const MAX_KEYS: usize = 50;
/// The maximum length of a value in one message, in characters of JSON.
const MAX_VALUE_CHARACTERS: usize = 1_000;

/// Returns the topic of a change set; `None` for changes without a message.
pub(super) fn topic(action: Action) -> Option<Topic> {
    match action {
        Action::Update | Action::Reset => Some(Topic::SettingsChanged),
        Action::Rollback => Some(Topic::SettingsRolledBack),
        Action::Import => Some(Topic::SettingsImported),
        // Seeding is no change of an administrator; the others have messages of their own.
        Action::Seed | Action::Refused | Action::SecretCleanup => None,
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

fn change_json(scanner: &SecretScanner, change: &KeyChange) -> Value {
    let KeyChange { key, old_value, new_value, version } = change;
    let old_value = old_value.as_ref().map(|value| value_json(scanner, value));
    let new_value = value_json(scanner, new_value);
    json!({"key": key, "old_value": old_value, "new_value": new_value, "version": version})
}

/// Returns `value` as JSON, redacted if secret-like and cut to the maximum length.
fn value_json(scanner: &SecretScanner, value: &SettingValue) -> Value {
    // Writes never store a secret, but an old value may be from a release with weaker rules.
    if scanner.scan_json(&value.into()).is_some() {
        return Value::from("(withheld: it looks like a secret)");
    }
    let json = value.to_json();
    let text = json.to_string();
    // Cut after the scan, because half of a secret may match no pattern.
    match text.char_indices().nth(MAX_VALUE_CHARACTERS) {
        Some((end, _)) => Value::from(format!("{}…", &text[..end])),
        None => json,
    }
}
