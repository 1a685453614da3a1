//! What a declaration says of its values.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::settings::value::Number;

/// Most patterns that are kept compiled.
const COMPILED: usize = 64;

/// What a value must satisfy on its own, and which list it must be on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Number: whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer: Option<bool>,
    /// Number: smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// Number: greatest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
    /// String: pattern it must match; anchored by whoever writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Pattern>,
    /// String: fewest characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// String: most characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// String, or each item of a list: one of these.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// String: an item of the list that this setting holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_of: Option<String>,
    /// List: fewest items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_items: Option<usize>,
    /// List: most items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<usize>,
    /// List: no item twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// List: pattern that each item must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_regex: Option<Pattern>,
    /// List: most characters of an item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_max_length: Option<usize>,
}

/// A regular expression that compiles; linear in the length of what it is held against. Only its text is
/// kept: values are checked when somebody writes, and ten thousand compiled ones take megabytes all the while.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    /// What tells whether a text matches.
    pub(super) fn matcher(&self) -> impl Fn(&str) -> bool {
        let compiled = self.compiled();
        move |text| compiled.as_ref().is_some_and(|it| it.is_match(text))
    }

    /// A great import holds many values against few patterns: the latest stay compiled.
    fn compiled(&self) -> Option<Regex> {
        static LATEST: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = latest.get(&self.0) {
            return Some(compiled.clone());
        }
        let compiled = Regex::new(&self.0).ok()?;
        if COMPILED <= latest.len() {
            latest.clear();
        }
        latest.insert(self.0.clone(), compiled.clone());
        Some(compiled)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Regex::new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(err) => {
                // The last of its lines says what is wrong; those before draw where.
                let told = err.to_string();
                let what = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(D::Error::custom(format_args!("{text:?} is no regular expression: {what}")))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
