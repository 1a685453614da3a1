//! Before anything else of a write: whether its reason, or a value that it would store, looks like a secret.

use std::collections::HashSet;

use crate::{
    audit::{Actor, Reason},
    compute,
    database::Pool,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        catalog::is_key,
        change::{Edit, Error, SecretFound, refuse, size},
        schema::{Definition, KeyClass, Schema},
        service::GlobalSettingsService,
    },
};

/// Stands on the trail where no declared key is to be named.
pub(in crate::settings) const UNDECLARED: &str = "(no declared key)";

/// Refuses a write of `edits` by `actor` that would store a secret, and leaves a trace of it unless it is a
/// `dry_run`. [`update`](super::update) does the same again: this is for whoever may end before.
pub(in crate::settings) async fn screen(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    edits: &[Edit],
    dry_run: bool,
) -> Result<(), Error> {
    let (scanner, snapshot) = (settings.secret_scanner(), settings.snapshot());
    let schema = &snapshot.schema;
    let find = || find(scanner, schema, &actor.reason, edits);
    let Some(found) = compute::run(size(edits), find).await else { return Ok(()) };
    if !dry_run {
        let keys = concerned(&snapshot.schema, edits, Some(&found));
        refuse(pool, settings, actor, &keys).await?;
    }
    Err(Error::SecretLike(found))
}

/// What of a write looks like a secret. The value of a key that is never written is not looked at: it goes
/// nowhere, whatever it is.
pub(super) fn find(
    scanner: &SecretScanner,
    schema: &Schema,
    reason: &Reason,
    edits: &[Edit],
) -> Option<SecretFound> {
    let reason = scanner.scan(reason.as_str());
    let found = SecretFound { reason, values: find_in_values(scanner, schema, edits) };
    (found != SecretFound::default()).then_some(found)
}

/// The keys of `edits` whose values look like secrets, each with what its value looks like.
pub(in crate::settings) fn find_in_values(
    scanner: &SecretScanner,
    schema: &Schema,
    edits: &[Edit],
) -> Vec<(String, SecretKind)> {
    let likeness = |edit: &Edit| match schema.classify_lookalike(&edit.key) {
        KeyClass::Locked(_) => None,
        KeyClass::Editable(_) => scanner.scan_json(&edit.value),
        KeyClass::Unknown => scanner.scan(&edit.key).or_else(|| scanner.scan_json(&edit.value)),
    };
    let values = edits.iter().filter_map(|edit| {
        likeness(edit).map(|likeness| (name(scanner, schema, &edit.key), likeness))
    });
    values.collect()
}

/// The keys of `edits` that the trail is to name when they are refused: those that are never written, those
/// whose values look like secrets, and all if the reason does; each once, so that they are no more than the
/// catalog declares, and [`UNDECLARED`].
pub(super) fn concerned(
    schema: &Schema,
    edits: &[Edit],
    found: Option<&SecretFound>,
) -> Vec<String> {
    let every = found.is_some_and(|it| it.reason.is_some());
    let values = found.into_iter().flat_map(|it| &it.values);
    let values: HashSet<&str> = values.map(|(key, _)| key.as_str()).collect();
    let named = edits.iter().filter_map(|edit| match schema.classify_lookalike(&edit.key) {
        KeyClass::Locked(definition) => Some(&definition.key),
        KeyClass::Editable(Definition { key, .. }) => {
            Some(key).filter(|_| every || values.contains(key.as_str()))
        }
        // What somebody made up is not for the trail, be it only the name.
        KeyClass::Unknown => None,
    });
    let mut once = HashSet::new();
    let mut keys: Vec<String> = named.filter(|key| once.insert(*key)).cloned().collect();
    if keys.is_empty() || values.iter().any(|key| schema.find(key).is_none()) {
        keys.push(UNDECLARED.to_owned());
    }
    keys
}

/// What may be told of a key that was sent as `sent`.
pub(in crate::settings) fn name(scanner: &SecretScanner, schema: &Schema, sent: &str) -> String {
    match schema.classify_lookalike(sent) {
        KeyClass::Locked(definition) | KeyClass::Editable(definition) => definition.key.clone(),
        KeyClass::Unknown if is_key(sent) && scanner.scan(sent).is_none() => sent.to_owned(),
        KeyClass::Unknown => UNDECLARED.to_owned(),
    }
}
