//! Whether values may stand: each on its own, then together. Pure.

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

/// The longest string any setting holds, in characters, whatever its catalog allows.
const LONGEST_STRING: usize = 65_536;
/// The most items any list holds, whatever its catalog allows.
const MOST_ITEMS: usize = 1_000;

/// One thing wrong with one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    /// The key at fault.
    pub key: String,
    /// What kind of fault, for a program.
    pub code: &'static str,
    /// What is wrong and what would be right, for a person.
    pub detail: String,
    /// The rule that was broken; null when it is not one of the key's constraints.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub constraint: Value,
}

impl Violation {
    /// `key` has `code`.
    pub fn new(
        key: &str,
        code: &'static str,
        detail: impl Into<String>,
        constraint: Value,
    ) -> Self {
        Self { key: key.to_owned(), code, detail: detail.into(), constraint }
    }

    /// A key that no catalog declares.
    #[must_use]
    pub fn unknown(key: &str) -> Self {
        Self::new(key, "unknown_key", "the catalog declares no such setting", Value::Null)
    }

    /// A key whose declaration in the database this release cannot read.
    #[must_use]
    pub fn undeclared(key: &str, fault: &str) -> Self {
        let detail = format!("its declaration is not understood by this release: {fault}");
        Self::new(key, "unreadable_declaration", detail, Value::Null)
    }

    /// A value that looks like a secret.
    #[must_use]
    pub fn secret_like(key: &str, likeness: SecretKind) -> Self {
        Self::new(key, "secret_like_value", likeness.detail(), Value::Null)
    }

    /// A required key without a value.
    #[must_use]
    pub fn missing(key: &str) -> Self {
        Self::new(key, "missing", "a value is required and none is stored", Value::Null)
    }

    /// A value that is not of the key's type.
    #[must_use]
    pub fn unfit(definition: &Definition, unfit: TypeMismatch) -> Self {
        let kind = definition.value_type;
        let (code, detail) = match unfit {
            TypeMismatch::Type => {
                ("wrong_type", format!("must be {}", whole_or(kind, &definition.constraints)))
            }
            TypeMismatch::Digits => (
                "out_of_range",
                format!(
                    "has more digits than are kept; whole numbers go to ±{}",
                    Number::MAX_INTEGER
                ),
            ),
        };
        Self::new(&definition.key, code, detail, json!({"type": kind.as_str()}))
    }
}

fn whole_or(value_type: ValueType, constraints: &Constraints) -> &'static str {
    match constraints.integer {
        Some(true) => "a whole number",
        _ => value_type.describe(),
    }
}

/// Parses `json` as a value of `definition` that is valid by itself.
pub(super) fn parse_value(
    definition: &Definition,
    json: &StrictJson,
) -> Result<SettingValue, Vec<Violation>> {
    let value = SettingValue::parse(definition.value_type, json)
        .map_err(|mismatch| vec![Violation::unfit(definition, mismatch)])?;
    let mut violations = check_alone(definition, &value);
    violations.extend(check_characters(&definition.key, &value));
    if violations.is_empty() { Ok(value) } else { Err(violations) }
}

/// Everything wrong with `value` on its own.
#[must_use]
pub(super) fn check_alone(definition: &Definition, value: &SettingValue) -> Vec<Violation> {
    let mut found = CheckedValue { key: &definition.key, violations: Vec::new() };
    if value.value_type() != definition.value_type {
        return vec![Violation::unfit(definition, TypeMismatch::Type)];
    }
    match value {
        SettingValue::Boolean(_) => (),
        SettingValue::Number(number) => found.number(&definition.constraints, *number),
        SettingValue::String(text) => found.string(&definition.constraints, text),
        SettingValue::StringArray(items) => found.items(&definition.constraints, items),
    }
    found.violations
}

/// The characters of `value` that no value may have, each with its key. Checked on every write, and not when stored
/// values are read: one that an older release took, or that was put there by hand, must not stop a service that runs
/// with it. `brune doctor` reports it.
#[must_use]
pub(super) fn check_characters(key: &str, value: &SettingValue) -> Vec<Violation> {
    let violation = |what: String| Violation::new(key, "forbidden_character", what, Value::Null);
    match value {
        SettingValue::Boolean(_) | SettingValue::Number(_) => Vec::new(),
        SettingValue::String(text) => {
            let found = text::check(text).err();
            found.map(|it| violation(format!("must not contain {it}"))).into_iter().collect()
        }
        SettingValue::StringArray(items) => {
            let found =
                items.iter().zip(1..).filter_map(|(item, at)| Some((text::check(item).err()?, at)));
            found.map(|(it, at)| violation(format!("item {at} must not contain {it}"))).collect()
        }
    }
}

/// Everything wrong between `definition` and the settings it is tied to.
#[must_use]
pub(super) fn check_ties<'v>(
    definition: &Definition,
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Option<Violation> {
    let list = definition.constraints.member_of.as_deref()?;
    let SettingValue::String(member) = value_of(&definition.key)? else { return None };
    let SettingValue::StringArray(items) = value_of(list)? else { return None };
    (!items.contains(member)).then(|| {
        let detail = format!("must be an item of {list}");
        Violation::new(&definition.key, "not_in_list", detail, json!({"member_of": list}))
    })
}

/// Everything wrong with a whole set of settings; empty when it may stand.
pub(super) fn check<'v>(
    schema: &Schema,
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    schema.editable().flat_map(|definition| check_one(definition, &value_of)).collect()
}

/// Everything wrong with `keys` and the settings that rules tie to them.
pub(super) fn check_keys<'v>(
    schema: &Schema,
    keys: &[String],
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    tied(schema, keys).flat_map(|definition| check_one(definition, &value_of)).collect()
}

/// Everything wrong between `keys` and the settings that rules tie to them.
pub(super) fn check_tied<'v>(
    schema: &Schema,
    keys: &[String],
    value_of: impl Fn(&str) -> Option<&'v SettingValue>,
) -> Vec<Violation> {
    tied(schema, keys).filter_map(|definition| check_ties(definition, &value_of)).collect()
}

/// The editable settings among `keys` and those that rules tie to them, each once.
fn tied<'s>(schema: &'s Schema, keys: &'s [String]) -> impl Iterator<Item = &'s Definition> {
    let tied = keys.iter().flat_map(|key| schema.partners(key));
    let keys: BTreeSet<&String> = keys.iter().chain(tied).collect();
    keys.into_iter().filter_map(|key| match schema.classify(key) {
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
    violations.extend(check_ties(definition, value_of));
    violations
}

struct CheckedValue<'a> {
    key: &'a str,
    violations: Vec<Violation>,
}

impl CheckedValue<'_> {
    fn add(&mut self, code: &'static str, detail: String, constraint: Value) {
        self.violations.push(Violation::new(self.key, code, detail, constraint));
    }

    fn number(&mut self, rule: &Constraints, number: Number) {
        if rule.integer == Some(true) && matches!(number, Number::Decimal(_)) {
            self.add("wrong_type", "must be a whole number".to_owned(), json!({"integer": true}));
        }
        let low = rule.min.is_some_and(|min| number.as_f64() < min.as_f64());
        let high = rule.max.is_some_and(|max| max.as_f64() < number.as_f64());
        if low || high {
            let detail = match (rule.min, rule.max) {
                (Some(min), Some(max)) => format!("must be between {min} and {max}"),
                (Some(min), None) => format!("must be {min} or more"),
                (_, Some(max)) => format!("must be {max} or less"),
                (None, None) => String::new(),
            };
            self.add("out_of_range", detail, bounds(("min", rule.min), ("max", rule.max)));
        }
    }

    fn string(&mut self, rule: &Constraints, text: &str) {
        let length = text.chars().count();
        let most = rule.max_length.unwrap_or(LONGEST_STRING).min(LONGEST_STRING);
        if most < length {
            self.add(
                "too_long",
                format!("must have at most {most} characters"),
                json!({"max_length": most}),
            );
        }
        let fewest = rule.min_length.unwrap_or(0);
        if length < fewest {
            self.add(
                "too_short",
                format!("must have at least {fewest} characters"),
                json!({"min_length": fewest}),
            );
        }
        if let Some(regex) = rule.regex.as_ref().filter(|it| !it.matcher()(text)) {
            self.add("pattern_mismatch", format!("must match {regex}"), json!({"regex": regex}));
        }
        self.choice(rule, text);
    }

    fn choice(&mut self, rule: &Constraints, text: &str) {
        if let Some(choices) = rule.choices.as_ref().filter(|it| !it.iter().any(|it| it == text)) {
            self.add(
                "not_allowed",
                format!("must be one of {}", choices.join(", ")),
                json!({"enum": choices}),
            );
        }
    }

    fn items(&mut self, rule: &Constraints, items: &[String]) {
        let fewest = rule.min_items.unwrap_or(0);
        let most = rule.max_items.unwrap_or(MOST_ITEMS).min(MOST_ITEMS);
        if !(fewest..=most).contains(&items.len()) {
            let detail =
                format!("must have between {fewest} and {most} items, has {}", items.len());
            let given = bounds(("min_items", rule.min_items), ("max_items", Some(most)));
            self.add("wrong_count", detail, given);
        }
        if items.len() > MOST_ITEMS {
            // Each could break a rule, and be a fault of its own.
            return;
        }
        let mut seen = BTreeSet::new();
        let twice = items.iter().position(|it| !seen.insert(it));
        if let Some(twice) = twice.filter(|_| rule.unique == Some(true)) {
            let detail = format!("item {} stands twice", twice + 1);
            self.add("repeated_item", detail, json!({"unique": true}));
        }
        let longest = rule.item_max_length.unwrap_or(LONGEST_STRING).min(LONGEST_STRING);
        let pattern = rule.item_regex.as_ref().map(|it| (it, it.matcher()));
        for (at, item) in (1..).zip(items) {
            if longest < item.chars().count() {
                let detail = format!("item {at} must have at most {longest} characters");
                self.add("too_long", detail, json!({"item_max_length": longest}));
            }
            if let Some((regex, _)) = pattern.as_ref().filter(|(_, matches)| !matches(item)) {
                let detail = format!("item {at} must match {regex}");
                self.add("pattern_mismatch", detail, json!({"item_regex": regex}));
            }
            self.choice(rule, item);
        }
    }
}

/// The two bounds as an object, without the one that is not set.
fn bounds<T: Serialize>(low: (&str, Option<T>), high: (&str, Option<T>)) -> Value {
    let given =
        [low, high].into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?))));
    Value::Object(given.collect())
}
