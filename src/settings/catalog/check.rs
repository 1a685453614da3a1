//! Consistency checks within a catalog.

use crate::{
    secret_scanner::SecretScanner,
    settings::{
        constraints::Constraints,
        rules,
        schema::{Definition, Kind, Schema},
        value::ValueType,
    },
    text,
};

/// Maximum length of a category in bytes.
const MAX_CATEGORY_BYTES: usize = 128;

/// Verifies that defaults satisfy the constraints, and that constraints fit types. Returns errors by key.
#[must_use]
pub(super) fn check(schema: &Schema) -> Vec<(String, String)> {
    let mut errors = Vec::new();
    let default_of =
        |key: &str| schema.find(key).and_then(|definition| definition.default.as_ref());
    for definition in schema.all() {
        let details = check_constraints(definition).into_iter().chain(check_texts(definition));
        errors.extend(details.map(|detail| (definition.key.clone(), detail)));
        // Patterns only, because a catalog may be checked without the secrets of a process.
        if let Some((part, kind)) = definition.find_secret(&SecretScanner::default()) {
            let detail = format!("{part} {}", kind.detail());
            errors.push((definition.key.clone(), detail));
        }
        // The list must be a setting, so that administrators can extend the list.
        if let Some(list) = &definition.constraints.member_of {
            let declared = schema.find(list).filter(|definition| definition.kind == Kind::Setting);
            if declared.is_none_or(|definition| definition.value_type != ValueType::StringArray) {
                let detail = format!(
                    "member_of must name a [[setting]] of type string_array; {list} is not"
                );
                errors.push((definition.key.clone(), detail));
            }
        }
        let alone =
            definition.default.iter().flat_map(|value| rules::check_alone(definition, value));
        let broken = alone.chain(rules::check_member_of(definition, default_of));
        errors.extend(
            broken.map(|violation| (violation.key, format!("default {}", violation.detail))),
        );
    }
    errors
}

/// Validates a description, which may be empty and may have several lines. Returns the problem.
pub(super) fn description(text: &str) -> Option<String> {
    if let Err(character) = text::check_lines(text) {
        return Some(format!("must not contain {character}"));
    }
    // An empty description is visible as such, a blank description is not.
    let is_blank = !text.is_empty() && text::visible_length(text) == 0;
    is_blank.then(|| "must have at least one visible character".to_owned())
}

/// Validates the texts of a declaration: invisible or deceptive characters would mislead readers.
fn check_texts(definition: &Definition) -> Vec<String> {
    let Definition { category, description, default, constraints, key, .. } = definition;
    let mut errors = Vec::new();
    errors.extend(self::description(description).map(|error| format!("description {error}")));
    if let Err(error) = text::check_identifier(category, MAX_CATEGORY_BYTES) {
        errors.push(format!("category {error}"));
    }
    let choices = constraints.choices.iter().flatten();
    let choices = choices.filter_map(|choice| text::check(choice).err());
    errors.extend(choices.map(|character| format!("enum must not contain {character}")));
    let default = default.iter().flat_map(|value| rules::check_characters(key, value));
    errors.extend(default.map(|violation| format!("default {}", violation.detail)));
    errors
}

/// Verifies that every constraint applies to the declared type.
fn check_constraints(definition: &Definition) -> Vec<String> {
    let Constraints {
        integer,
        min,
        max,
        regex,
        min_length,
        max_length,
        choices,
        member_of,
        min_items,
        max_items,
        unique,
        item_regex,
        item_max_length,
    } = &definition.constraints;
    let groups = [
        (
            integer.is_some() || min.is_some() || max.is_some(),
            "integer, min, max",
            &[ValueType::Number][..],
        ),
        (
            regex.is_some() || min_length.is_some() || max_length.is_some() || member_of.is_some(),
            "regex, min_length, max_length, member_of",
            &[ValueType::String],
        ),
        (choices.is_some(), "enum", &[ValueType::String, ValueType::StringArray]),
        (
            min_items.is_some()
                || max_items.is_some()
                || unique.is_some()
                || item_regex.is_some()
                || item_max_length.is_some(),
            "min_items, max_items, unique, item_regex, item_max_length",
            &[ValueType::StringArray],
        ),
    ];
    let declared = definition.value_type;
    let misplaced =
        groups.into_iter().filter(|(is_set, _, types)| *is_set && !types.contains(&declared));
    misplaced
        .map(|(_, names, _)| {
            format!("constraints do not apply to {}: {names}", declared.describe())
        })
        .collect()
}
