//! What other services are told of a change, in its own transaction.

use serde_json::{Value, json};

use crate::{
    audit::{Action, Actor},
    database::Connection,
    outbox::Topic,
    secret_scanner::SecretScanner,
    settings::{
        change::{Changed, ChangedKey},
        service::GlobalSettingsService,
        value::SettingValue,
    },
};

/// Keys that one message names; `total` says how many there are.
const KEYS: usize = 50;
/// Characters of a value, as JSON, that one message holds.
const VALUE: usize = 1_000;

/// Leaves word of a change set. What changed nothing is not told.
pub(super) async fn changed(
    conn: &mut Connection,
    settings: &GlobalSettingsService,
    action: Action,
    actor: &Actor,
    changed: &Changed,
) -> sqlx::Result<()> {
    let topic = match action {
        Action::Update | Action::Reset => Topic::SettingsChanged,
        Action::Rollback => Topic::SettingsRolledBack,
        Action::Import => Topic::SettingsImported,
        Action::Seed | Action::Refused | Action::SecretCleanup => return Ok(()),
    };
    if changed.changed.is_empty() {
        return Ok(());
    }
    let (scanner, keys) = (settings.secret_scanner(), &changed.changed);
    let told: Vec<Value> = keys.iter().take(KEYS).map(|it| key(scanner, it)).collect();
    let payload = json!({
        "revision": changed.revision,
        "action": action,
        "changed": told,
        "total": keys.len(),
        "truncated": KEYS < keys.len(),
        "by": actor.user,
        "reason": actor.reason.as_str(),
        "request_id": actor.request,
    });
    settings.outbox().enqueue(conn, topic, &payload).await
}

/// Leaves word of an attempt on `keys` that was refused; no values.
pub(super) async fn refused(
    conn: &mut Connection,
    settings: &GlobalSettingsService,
    actor: &Actor,
    keys: &[String],
) -> sqlx::Result<()> {
    let payload = json!({
        "keys": keys.iter().take(KEYS).collect::<Vec<_>>(),
        "total": keys.len(),
        "truncated": KEYS < keys.len(),
        "by": actor.user,
        "reason": actor.reason.as_str(),
        "request_id": actor.request,
    });
    settings.outbox().enqueue(conn, Topic::SettingsRefused, &payload).await
}

fn key(scanner: &SecretScanner, changed: &ChangedKey) -> Value {
    let ChangedKey { key, old_value, new_value, version } = changed;
    let old_value = old_value.as_ref().map(|it| value(scanner, it));
    json!({
        "key": key, "old_value": old_value, "new_value": value(scanner, new_value), "version": version,
    })
}

/// `value`, or as much of it as a message holds. An old one may look like a secret: rules were looser once.
fn value(scanner: &SecretScanner, value: &SettingValue) -> Value {
    if scanner.scan_json(&value.into()).is_some() {
        return Value::from("(withheld: it looks like a secret)");
    }
    let json = value.to_json();
    let text = json.to_string();
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => Value::from(format!("{}…", &text[..end])),
        None => json,
    }
}
