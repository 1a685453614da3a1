//! Validation of each edit by itself, before the lock.

use std::collections::HashSet;

use crate::settings::{
    change::{
        edit::Edit,
        outcome::{Error, SecretMatches},
    },
    rules::{self, Violation},
    schema::{Definition, KeyClass, Schema},
    value::SettingValue,
};

/// An [`Edit`] of a declared key whose value is valid by itself.
pub(in crate::settings) struct ResolvedEdit<'s> {
    pub(in crate::settings) definition: &'s Definition,
    pub(in crate::settings) value: SettingValue,
    pub(in crate::settings) version: Option<i64>,
}

/// Returns the edits with their declarations and parsed values, and the locked keys that `lenient` leaves out.
///
/// # Errors
/// In this order: locked keys, unless `lenient`; values that look like secrets (`matches`); invalid values.
pub(in crate::settings) fn resolve<'s>(
    schema: &'s Schema,
    edits: &[Edit],
    lenient: bool,
    matches: Option<&SecretMatches>,
) -> Result<(Vec<ResolvedEdit<'s>>, Vec<String>), Error> {
    let mut resolved = Vec::new();
    let mut locked = Vec::new();
    let mut violations = Vec::new();
    let mut locked_once = HashSet::new();
    for edit in edits {
        match schema.classify_lookalike(&edit.key) {
            // Several lookalikes of one key are one refusal.
            KeyClass::Locked(definition) if !locked_once.insert(&definition.key) => (),
            KeyClass::Locked(definition) => locked.push(definition.key.clone()),
            KeyClass::Unknown => violations.push(Violation::unknown(&edit.key)),
            KeyClass::Editable(definition) => match rules::parse_value(definition, &edit.value) {
                Ok(value) => {
                    resolved.push(ResolvedEdit { definition, value, version: edit.version });
                }
                Err(broken) => violations.extend(broken),
            },
        }
    }
    // Locked keys first: another value would not help the caller.
    if !locked.is_empty() && !lenient {
        return Err(Error::Locked(locked));
    }
    if let Some(matches) = matches {
        return Err(Error::SecretLike(matches.clone()));
    }
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    Ok((resolved, locked))
}
