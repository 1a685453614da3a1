//! Secret scan of a change: a secret-like reason or value ends a write before anything is stored.

use std::collections::HashSet;

use crate::{
    audit::Reason,
    secret_scanner::{SecretKind, SecretScanner},
    settings::{
        catalog::is_key,
        change::{edit::Edit, outcome::SecretMatches},
        schema::{Definition, KeyClass, Schema},
    },
};

/// The name in the audit trail and in responses for keys that must not be repeated.
pub(in crate::settings) const UNDECLARED: &str = "(no declared key)";

/// Scans the reason and the values of a write; returns `None` if nothing looks like a secret.
pub(in crate::settings) fn scan<'a>(
    scanner: &SecretScanner,
    schema: &Schema,
    reason: &Reason,
    edits: impl Iterator<Item = &'a Edit>,
) -> Option<SecretMatches> {
    let reason = scanner.scan(reason.as_str());
    let matches = SecretMatches { reason, values: scan_values(scanner, schema, edits) };
    (matches != SecretMatches::default()).then_some(matches)
}

/// Returns the keys of `edits` whose values look like secrets, each with the kind of secret.
pub(in crate::settings) fn scan_values<'a>(
    scanner: &SecretScanner,
    schema: &Schema,
    edits: impl Iterator<Item = &'a Edit>,
) -> Vec<(String, SecretKind)> {
    let scan_edit = |edit: &Edit| match schema.classify_lookalike(&edit.key) {
        // The value of a locked key is never stored nor repeated, so a secret in the value does no harm.
        KeyClass::Locked(_) => None,
        KeyClass::Editable(_) => scanner.scan_json(&edit.value),
        // The error names the unknown key, so the name is scanned too.
        KeyClass::Unknown => scanner.scan(&edit.key).or_else(|| scanner.scan_json(&edit.value)),
    };
    let matches = edits.filter_map(|edit| {
        let kind = scan_edit(edit)?;
        Some((public_name(scanner, schema, &edit.key), kind))
    });
    matches.collect()
}

/// Returns the keys of `edits` that the audit trail names when the write is refused, each once: locked keys, keys whose
/// values look like secrets, and all declared keys if the reason looks like a secret. Undeclared keys are recorded as
/// [`UNDECLARED`], so that the number of entries is bounded by the catalog.
pub(in crate::settings) fn keys_to_record<'a>(
    schema: &Schema,
    edits: impl Iterator<Item = &'a Edit>,
    matches: Option<&SecretMatches>,
) -> Vec<String> {
    let is_reason_secret = matches.is_some_and(|matches| matches.reason.is_some());
    let values = matches.into_iter().flat_map(|matches| &matches.values);
    let secret_keys: HashSet<&str> = values.map(|(key, _)| key.as_str()).collect();
    let recorded = edits.filter_map(|edit| match schema.classify_lookalike(&edit.key) {
        KeyClass::Locked(definition) => Some(&definition.key),
        KeyClass::Editable(Definition { key, .. }) => {
            Some(key).filter(|_| is_reason_secret || secret_keys.contains(key.as_str()))
        }
        // An undeclared name is text of the caller, and may itself be a secret.
        KeyClass::Unknown => None,
    });
    let mut once = HashSet::new();
    let mut keys: Vec<String> = recorded.filter(|key| once.insert(*key)).cloned().collect();
    // The list is never empty, because the audit trail must record every refusal.
    if keys.is_empty() || secret_keys.iter().any(|key| schema.find(key).is_none()) {
        keys.push(UNDECLARED.to_owned());
    }
    keys
}

/// Returns the name by which responses may refer to the requested key `name`.
pub(in crate::settings) fn public_name(
    scanner: &SecretScanner,
    schema: &Schema,
    name: &str,
) -> String {
    match schema.classify_lookalike(name) {
        KeyClass::Locked(definition) | KeyClass::Editable(definition) => definition.key.clone(),
        KeyClass::Unknown if is_key(name) && scanner.scan(name).is_none() => name.to_owned(),
        KeyClass::Unknown => UNDECLARED.to_owned(),
    }
}
