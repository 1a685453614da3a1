//! The rules between the settings of a change and the settings that a rule relates to them.

use std::collections::HashMap;

use crate::settings::{
    change::resolve::ResolvedEdit,
    rules::{self, Violation},
    schema::Schema,
    value::SettingValue,
};

/// Checks the rules between settings that involve an edited setting, on the values after the change.
pub(in crate::settings) fn check_related<'v>(
    schema: &Schema,
    edits: &'v [ResolvedEdit<'_>],
    value_before: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    let edited: HashMap<&str, &SettingValue> =
        edits.iter().map(|edit| (edit.definition.key.as_str(), &edit.value)).collect();
    let value_after = |key: &str| edited.get(key).copied().or_else(|| value_before(key));
    let keys = edits.iter().map(|edit| edit.definition.key.as_str());
    rules::check_partners(schema, keys, value_after)
}
