//! Before anything else of a write: whether its reason, or a value that it would store, looks like a secret.

use std::collections::HashSet;

use crate::{
    audit::{Actor, Reason},
    compute,
    database::Pool,
    secret_scanner::{Firewall, Likeness},
    settings::{
        catalog::is_key,
        change::{Edit, Error, SecretLike, refuse, size},
        schema::{Definition, Named, Schema},
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
    let (firewall, snapshot) = (settings.firewall(), settings.snapshot());
    let schema = &snapshot.schema;
    let find = || find(firewall, schema, &actor.reason, edits);
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
    firewall: &Firewall,
    schema: &Schema,
    reason: &Reason,
    edits: &[Edit],
) -> Option<SecretLike> {
    let reason = firewall.likeness(reason.as_str());
    let found = SecretLike { reason, values: find_in_values(firewall, schema, edits) };
    (found != SecretLike::default()).then_some(found)
}

/// The keys of `edits` whose values look like secrets, each with what its value looks like.
pub(in crate::settings) fn find_in_values(
    firewall: &Firewall,
    schema: &Schema,
    edits: &[Edit],
) -> Vec<(String, Likeness)> {
    let likeness = |edit: &Edit| match schema.aimed_at(&edit.key) {
        Named::Locked(_) => None,
        Named::Editable(_) => firewall.in_json(&edit.value),
        Named::Unknown => firewall.likeness(&edit.key).or_else(|| firewall.in_json(&edit.value)),
    };
    let values = edits.iter().filter_map(|edit| {
        likeness(edit).map(|likeness| (name(firewall, schema, &edit.key), likeness))
    });
    values.collect()
}

/// The keys of `edits` that the trail is to name when they are refused: those that are never written, those
/// whose values look like secrets, and all if the reason does; each once, so that they are no more than the
/// catalog declares, and [`UNDECLARED`].
pub(super) fn concerned(
    schema: &Schema,
    edits: &[Edit],
    found: Option<&SecretLike>,
) -> Vec<String> {
    let every = found.is_some_and(|it| it.reason.is_some());
    let values = found.into_iter().flat_map(|it| &it.values);
    let values: HashSet<&str> = values.map(|(key, _)| key.as_str()).collect();
    let named = edits.iter().filter_map(|edit| match schema.aimed_at(&edit.key) {
        Named::Locked(definition) => Some(&definition.key),
        Named::Editable(Definition { key, .. }) => {
            Some(key).filter(|_| every || values.contains(key.as_str()))
        }
        // What somebody made up is not for the trail, be it only the name.
        Named::Unknown => None,
    });
    let mut once = HashSet::new();
    let mut keys: Vec<String> = named.filter(|key| once.insert(*key)).cloned().collect();
    if keys.is_empty() || values.iter().any(|key| schema.find(key).is_none()) {
        keys.push(UNDECLARED.to_owned());
    }
    keys
}

/// What may be told of a key that was sent as `sent`.
pub(in crate::settings) fn name(firewall: &Firewall, schema: &Schema, sent: &str) -> String {
    match schema.aimed_at(sent) {
        Named::Locked(definition) | Named::Editable(definition) => definition.key.clone(),
        Named::Unknown if is_key(sent) && firewall.likeness(sent).is_none() => sent.to_owned(),
        Named::Unknown => UNDECLARED.to_owned(),
    }
}
