//! Validation of values: each alone, then together. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    json::StrictJson,
    secret_scanner::SecretKind,
    settings::{
        constraints::Constraints,
        schema::{Definition, KeyClass, Schema},
        value::{Number, SettingValue, TypeMismatch, ValueType},
    },
    text,
};

/// Maximum length of a string in characters, for every catalog.
const MAX_STRING_LENGTH: usize = 65_536;
/// Maximum number of items of a list, for every catalog.
const MAX_ITEMS: usize = 1_000;

/// One violated rule of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// The kind of violation, for programs.
    pub code: &'static str,
    /// The problem and the expected form, for people.
    pub detail: String,
    /// The violated constraint; null for a general rule.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub constraint: Value,
}

impl Violation {
    /// Creates a violation.
    pub fn new(
        key: &str,
        code: &'static str,
        detail: impl Into<String>,
        constraint: Value,
    ) -> Self {
        Self { key: key.to_owned(), code, detail: detail.into(), constraint }
    }

    /// The code of an undeclared key.
    pub const UNKNOWN_KEY: &'static str = "unknown_key";

    /// An undeclared key.
    #[must_use]
    pub fn unknown(key: &str) -> Self {
        Self::new(key, Self::UNKNOWN_KEY, "the catalog declares no such setting", Value::Null)
    }

    /// A key with a declaration that this release cannot read.
    #[must_use]
    pub fn unreadable(key: &str, error: &str) -> Self {
        let detail = format!("has a declaration that this release cannot read: {error}");
        Self::new(key, "unreadable_declaration", detail, Value::Null)
    }

    /// A value that looks like a secret.
    #[must_use]
    pub fn secret_like(key: &str, kind: SecretKind) -> Self {
        Self::new(key, "secret_like_value", kind.detail(), Value::Null)
    }

    /// A proposed value that was removed because the key is a secret, or was one.
    #[must_use]
    pub fn redacted(key: &str) -> Self {
        let detail = "has no proposed value: it was removed with a secret; write a new edition";
        Self::new(key, "redacted", detail, Value::Null)
    }

    /// A required key without a value.
    #[must_use]
    pub fn missing(key: &str) -> Self {
        Self::new(key, "missing", "must have a value; none is stored", Value::Null)
    }

    /// A value that is not of the declared type.
    #[must_use]
    pub fn type_mismatch(definition: &Definition, mismatch: TypeMismatch) -> Self {
        let declared = definition.value_type;
        let (code, detail) = match mismatch {
            TypeMismatch::Type => {
                ("wrong_type", format!("must be {}", describe(declared, &definition.constraints)))
            }
            TypeMismatch::Digits => (
                "out_of_range",
                format!(
                    "must not lose digits as a 64-bit float; integers go up to ±{}",
                    Number::MAX_INTEGER
                ),
            ),
        };
        Self::new(&definition.key, code, detail, json!({"type": declared.as_str()}))
    }
}

fn describe(declared: ValueType, constraints: &Constraints) -> &'static str {
    match constraints.integer {
        Some(true) => "an integer",
        _ => declared.describe(),
    }
}

/// Parses `json` as a value of `definition` that is valid by itself.
pub(super) fn parse_value(
    definition: &Definition,
    json: &StrictJson,
) -> Result<SettingValue, Vec<Violation>> {
    let value = SettingValue::parse(definition.value_type, json)
        .map_err(|mismatch| vec![Violation::type_mismatch(definition, mismatch)])?;
    let mut violations = check_alone(definition, &value);
    violations.extend(check_characters(&definition.key, &value));
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}

/// Validates `value` by the constraints of the key alone.
#[must_use]
pub(super) fn check_alone(definition: &Definition, value: &SettingValue) -> Vec<Violation> {
    let mut checker = ConstraintChecker { key: &definition.key, violations: Vec::new() };
    // Constraints of another type do not apply.
    if value.value_type() != definition.value_type {
        return vec![Violation::type_mismatch(definition, TypeMismatch::Type)];
    }
    match value {
        SettingValue::Boolean(_) => (),
        SettingValue::Number(number) => checker.number(&definition.constraints, *number),
        SettingValue::String(text) => checker.string(&definition.constraints, text),
        SettingValue::StringArray(items) => checker.items(&definition.constraints, items),
    }
    checker.violations
}

/// Returns a violation for each forbidden character of `value`.
///
/// Called on every write, but not when stored values are read: a value of an older release, or a manual edit in
/// the database, must not stop a running service. `brune doctor` reports such values.
#[must_use]
pub(super) fn check_characters(key: &str, value: &SettingValue) -> Vec<Violation> {
    let violation =
        |detail: String| Violation::new(key, "forbidden_character", detail, Value::Null);
    match value {
        SettingValue::Boolean(_) | SettingValue::Number(_) => Vec::new(),
        SettingValue::String(text) => {
            let forbidden = text::check(text).err().into_iter();
            forbidden.map(|character| violation(format!("must not contain {character}"))).collect()
        }
        SettingValue::StringArray(items) => {
            let numbered = items.iter().zip(1..);
            let forbidden =
                numbered.filter_map(|(item, index)| Some((text::check(item).err()?, index)));
            let detail = |(character, index)| format!("item {index} must not contain {character}");
            forbidden.map(detail).map(violation).collect()
        }
    }
}

/// Validates the constraint between `definition` and another setting.
#[must_use]
pub(super) fn check_member_of<'v>(
    definition: &Definition,
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Option<Violation> {
    let list = definition.constraints.member_of.as_deref()?;
    let SettingValue::String(member) = value_of(&definition.key)? else { return None };
    // A missing or mistyped list is reported for the key of the list.
    let SettingValue::StringArray(items) = value_of(list)? else { return None };
    (!items.contains(member)).then(|| {
        let detail = format!("must be an item of {list}");
        Violation::new(&definition.key, "not_in_list", detail, json!({"member_of": list}))
    })
}

/// Validates all settings.
pub(super) fn check<'v>(
    schema: &Schema,
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    schema.editable().flat_map(|definition| check_one(definition, &value_of)).collect()
}

/// Validates `keys` and their partners in constraints between two settings.
pub(super) fn check_keys<'v>(
    schema: &Schema,
    keys: &[String],
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    let keys = keys.iter().map(String::as_str);
    with_partners(schema, keys).flat_map(|definition| check_one(definition, &value_of)).collect()
}

/// Validates only the constraints between `keys` and their partners.
pub(super) fn check_partners<'k, 'v>(
    schema: &'k Schema,
    keys: impl Iterator<Item = &'k str>,
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    // Most settings have no partner, and need no further lookup.
    let keys = keys.filter(|key| !schema.partners(key).is_empty());
    with_partners(schema, keys)
        .filter_map(|definition| check_member_of(definition, &value_of))
        .collect()
}

/// Returns the editable settings among `keys` and their partners, without duplicates.
fn with_partners<'s>(
    schema: &'s Schema,
    keys: impl Iterator<Item = &'s str>,
) -> impl Iterator<Item = &'s Definition> {
    // A set, because two keys may share a partner.
    let mut with_partners = BTreeSet::new();
    for key in keys {
        with_partners.insert(key);
        with_partners.extend(schema.partners(key).iter().map(String::as_str));
    }
    with_partners.into_iter().filter_map(|key| match schema.classify(key) {
        KeyClass::Editable(definition) => Some(definition),
        KeyClass::Locked(_) | KeyClass::Unknown => None,
    })
}

fn check_one<'v>(
    definition: &Definition,
    value_of: &impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    let mut violations = match value_of(&definition.key) {
        Some(value) => check_alone(definition, value),
        None => vec![Violation::missing(&definition.key)],
    };
    violations.extend(check_member_of(definition, value_of));
    violations
}

struct ConstraintChecker<'a> {
    key: &'a str,
    violations: Vec<Violation>,
}

impl ConstraintChecker<'_> {
    fn add(&mut self, code: &'static str, detail: String, constraint: Value) {
        self.violations.push(Violation::new(self.key, code, detail, constraint));
    }

    fn number(&mut self, rule: &Constraints, number: Number) {
        if rule.integer == Some(true) && matches!(number, Number::Decimal(_)) {
            self.add("wrong_type", "must be an integer".to_owned(), json!({"integer": true}));
        }
        // The comparison is exact, because every integer of a setting fits into a double.
        let is_below = rule.min.is_some_and(|min| number.as_f64() < min.as_f64());
        let is_above = rule.max.is_some_and(|max| number.as_f64() > max.as_f64());
        if is_below || is_above {
            let detail = match (rule.min, rule.max) {
                (Some(min), Some(max)) => format!("must be between {min} and {max}"),
                (Some(min), None) => format!("must be at least {min}"),
                (_, Some(max)) => format!("must be at most {max}"),
                (None, None) => String::new(),
            };
            self.add("out_of_range", detail, bounds(("min", rule.min), ("max", rule.max)));
        }
    }

    fn string(&mut self, rule: &Constraints, text: &str) {
        // Characters, not bytes, because administrators count characters.
        let length = text.chars().count();
        // A catalog can lower the general limit but never raise the limit.
        let max = rule.max_length.unwrap_or(MAX_STRING_LENGTH).min(MAX_STRING_LENGTH);
        if length > max {
            let detail = format!("must have at most {max} characters");
            self.add("too_long", detail, json!({"max_length": max}));
        }
        let min = rule.min_length.unwrap_or(0);
        if length < min {
            let detail = format!("must have at least {min} characters");
            self.add("too_short", detail, json!({"min_length": min}));
        }
        if let Some(regex) = rule.regex.as_ref().filter(|regex| !regex.matcher()(text)) {
            self.add("pattern_mismatch", format!("must match {regex}"), json!({"regex": regex}));
        }
        self.choice(rule, text);
    }

    fn choice(&mut self, rule: &Constraints, text: &str) {
        let is_missing = |choices: &&Vec<String>| !choices.iter().any(|choice| choice == text);
        if let Some(choices) = rule.choices.as_ref().filter(is_missing) {
            let detail = format!("must be one of {}", choices.join(", "));
            self.add("not_allowed", detail, json!({"enum": choices}));
        }
    }

    fn items(&mut self, rule: &Constraints, items: &[String]) {
        let min = rule.min_items.unwrap_or(0);
        let max = rule.max_items.unwrap_or(MAX_ITEMS).min(MAX_ITEMS);
        if !(min..=max).contains(&items.len()) {
            let detail = format!("must have between {min} and {max} items, has {}", items.len());
            let constraint = bounds(("min_items", rule.min_items), ("max_items", Some(max)));
            self.add("wrong_count", detail, constraint);
        }
        if items.len() > MAX_ITEMS {
            // Each further item could add a violation, without limit.
            return;
        }
        let mut distinct = BTreeSet::new();
        let duplicate = items.iter().position(|item| !distinct.insert(item));
        if let Some(index) = duplicate.filter(|_| rule.unique == Some(true)) {
            let detail = format!("item {} is a duplicate", index + 1);
            self.add("repeated_item", detail, json!({"unique": true}));
        }
        let max_length = rule.item_max_length.unwrap_or(MAX_STRING_LENGTH).min(MAX_STRING_LENGTH);
        // One matcher for all items, because compiling a pattern is expensive.
        let pattern = rule.item_regex.as_ref().map(|regex| (regex, regex.matcher()));
        for (index, item) in (1..).zip(items) {
            if item.chars().count() > max_length {
                let detail = format!("item {index} must have at most {max_length} characters");
                self.add("too_long", detail, json!({"item_max_length": max_length}));
            }
            if let Some((regex, _)) = pattern.as_ref().filter(|(_, matches)| !matches(item)) {
                let detail = format!("item {index} must match {regex}");
                self.add("pattern_mismatch", detail, json!({"item_regex": regex}));
            }
            self.choice(rule, item);
        }
    }
}

/// Returns the bounds as an object, without unset bounds.
fn bounds<T: Serialize>(low: (&str, Option<T>), high: (&str, Option<T>)) -> Value {
    let set =
        [low, high].into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?))));
    Value::Object(set.collect())
}
