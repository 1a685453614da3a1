//! What contradicts in a catalog itself.

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

/// The most bytes of a category's name.
const CATEGORY_BYTES: usize = 128;

/// What is wrong, and with which key: each default must satisfy its own rules, each tie must hold.
#[must_use]
pub(super) fn check(schema: &Schema) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let default_of = |key: &str| schema.find(key).and_then(|it| it.default.as_ref());
    for definition in schema.all() {
        let own = check_constraints(definition).into_iter().chain(check_texts(definition));
        faults.extend(own.map(|it| (definition.key.clone(), it)));
        if let Some((what, likeness)) = definition.find_secret(&SecretScanner::default()) {
            let detail = format!("{what} {}", likeness.detail());
            faults.push((definition.key.clone(), detail));
        }
        if let Some(list) = &definition.constraints.member_of {
            let declared = schema.find(list).filter(|it| it.kind == Kind::Setting);
            if declared.is_none_or(|it| it.value_type != ValueType::StringArray) {
                let detail = format!(
                    "its member_of names {list}, which is no [[setting]] of type string_array"
                );
                faults.push((definition.key.clone(), detail));
            }
        }
        let alone =
            definition.default.iter().flat_map(|value| rules::check_alone(definition, value));
        let broken = alone.chain(rules::check_ties(definition, default_of));
        faults.extend(broken.map(|it| (it.key, format!("its default {}", it.detail))));
    }
    faults
}

/// What is wrong with the text of a description, which may have several lines. It may be empty, which everybody sees.
pub(super) fn description(text: &str) -> Option<String> {
    if let Err(found) = text::check_lines(text) {
        return Some(format!("must not contain {found}"));
    }
    let is_blank = !text.is_empty() && text::visible_length(text) == 0;
    is_blank.then(|| "must have at least one visible character".to_owned())
}

/// Texts that a reader would not see, or would see as something else.
fn check_texts(definition: &Definition) -> Vec<String> {
    let Definition { category, description, default, constraints, key, .. } = definition;
    let mut faults = Vec::new();
    faults.extend(self::description(description).map(|fault| format!("its description {fault}")));
    if let Err(error) = text::check_identifier(category, CATEGORY_BYTES) {
        faults.push(format!("its category {error}"));
    }
    let choices = constraints.choices.iter().flatten();
    let choices = choices.filter_map(|choice| text::check(choice).err());
    faults.extend(choices.map(|found| format!("its enum must not contain {found}")));
    let default = default.iter().flat_map(|value| rules::check_characters(key, value));
    faults.extend(default.map(|violation| format!("its default {}", violation.detail)));
    faults
}

/// Constraints that say nothing about the type they stand at.
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
    let given = [
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
    let misplaced =
        given.into_iter().filter(|(given, _, at)| *given && !at.contains(&definition.value_type));
    misplaced
        .map(|(_, names, _)| {
            let own = definition.value_type.describe();
            format!("its constraints do not fit: {names} say nothing about {own}")
        })
        .collect()
}
