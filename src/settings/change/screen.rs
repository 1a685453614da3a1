//! Before anything else of a write: whether its reason, or a value that it would store, looks like a secret.

use sqlx::PgPool;

use crate::{
    audit::{Actor, Reason},
    settings::{
        catalog::is_key,
        change::{Edit, Error, SecretLike, refuse},
        schema::{Named, Schema},
        secret_like::Firewall,
        service::GlobalSettingsService,
    },
};

/// Stands on the trail for a key that is none, or that looks like a secret itself.
pub(in crate::settings) const UNNAMED: &str = "(unnamed)";

/// Refuses a write of `edits` by `actor` that would store a secret, and leaves a trace of it unless it is a
/// `dry_run`. [`update`](super::update) does the same again: this is for whoever may end before.
pub(in crate::settings) async fn screen(
    pool: &PgPool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    dry_run: bool,
) -> Result<(), Error> {
    let (firewall, snapshot) = (settings.firewall(), settings.snapshot());
    let Some(found) = find(firewall, &snapshot.schema, &actor.reason, edits) else { return Ok(()) };
    if !dry_run {
        let keys = concerned(firewall, &snapshot.schema, edits, Some(&found));
        refuse(pool, settings, actor, &keys).await?;
    }
    Err(Error::SecretLike(found))
}

/// What of a write looks like a secret. The value of a key that is never written is not looked at: it goes
/// nowhere, whatever it is.
pub(super) fn find(
    firewall: &Firewall,
    schema: &Schema,
    reason: &Reason,
    edits: &[Edit],
) -> Option<SecretLike> {
    let reason = firewall.likeness(reason.as_str());
    let likeness = |edit: &Edit| match schema.aimed_at(&edit.key) {
        Named::Locked(_) => None,
        Named::Editable(_) => firewall.in_json(&edit.value),
        Named::Unknown => firewall.likeness(&edit.key).or_else(|| firewall.in_json(&edit.value)),
    };
    let values = edits.iter().filter_map(|edit| {
        likeness(edit).map(|likeness| (name(firewall, schema, &edit.key), likeness))
    });
    let found = SecretLike { reason, values: values.collect() };
    (found != SecretLike::default()).then_some(found)
}

/// The keys of `edits` that the trail is to name when they are refused, each once: those that are never
/// written, those whose values look like secrets, and all if the reason does.
pub(super) fn concerned(
    firewall: &Firewall,
    schema: &Schema,
    edits: &[Edit],
    found: Option<&SecretLike>,
) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for edit in edits {
        let locked = matches!(schema.aimed_at(&edit.key), Named::Locked(_));
        let name = name(firewall, schema, &edit.key);
        let told =
            |it: &SecretLike| it.reason.is_some() || it.values.iter().any(|(key, _)| *key == name);
        if (locked || found.is_some_and(told)) && !keys.contains(&name) {
            keys.push(name);
        }
    }
    if keys.is_empty() {
        keys.push(UNNAMED.to_owned());
    }
    keys
}

/// What may be told of a key that was sent as `sent`.
pub(in crate::settings) fn name(firewall: &Firewall, schema: &Schema, sent: &str) -> String {
    match schema.aimed_at(sent) {
        Named::Locked(definition) | Named::Editable(definition) => definition.key.clone(),
        Named::Unknown if is_key(sent) && firewall.likeness(sent).is_none() => sent.to_owned(),
        Named::Unknown => UNNAMED.to_owned(),
    }
}
