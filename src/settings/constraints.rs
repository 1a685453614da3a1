//! Constraints of a declaration on the values.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::settings::value::Number;

/// Maximum number of compiled patterns in the cache.
const CACHE_CAPACITY: usize = 64;

/// The constraints on a value. A constraint that is not set does not apply.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
// Unknown fields are errors: an ignored constraint of a newer release would admit invalid values.
#[serde(deny_unknown_fields)]
pub struct Constraints {
    /// Number: integers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer: Option<bool>,
    /// Number: minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Number>,
    /// Number: maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Number>,
    /// String: regular expression, not anchored implicitly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Pattern>,
    /// String: minimum number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// String: maximum number of characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// String, or each item of a list: allowed values.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// String: key of the list setting that must contain the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_of: Option<String>,
    /// List: minimum number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_items: Option<usize>,
    /// List: maximum number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_items: Option<usize>,
    /// List: no duplicate items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<bool>,
    /// List: regular expression for each item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_regex: Option<Pattern>,
    /// List: maximum number of characters of an item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_max_length: Option<usize>,
}

/// A valid regular expression with linear matching time.
///
/// Only the text is stored: values are validated only on writes, and ten thousand compiled patterns would take
/// megabytes permanently.
#[derive(Debug, Clone)]
pub struct Pattern(String);

impl Pattern {
    /// Returns a function that matches texts.
    pub(super) fn matcher(&self) -> impl Fn(&str) -> bool {
        let compiled = self.compiled();
        // Patterns are validated on construction; an invalid pattern would match nothing.
        move |text| compiled.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// Compiles the pattern, or takes the cached pattern: a large import matches many values against few patterns.
    fn compiled(&self) -> Option<Arc<Regex>> {
        // Shared by all catalogs, because the same patterns occur in every snapshot.
        static CACHE: Mutex<BTreeMap<String, Arc<Regex>>> = Mutex::new(BTreeMap::new());
        // A panic while locked leaves a valid map, so poisoning is ignored.
        let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = cache.get(&self.0) {
            // Shared, because a clone of a `Regex` allocates memory of its own for matching: kilobytes, for every value.
            return Some(Arc::clone(compiled));
        }
        let compiled = Arc::new(Regex::new(&self.0).ok()?);
        if cache.len() >= CACHE_CAPACITY {
            // Cleared completely, because recompiling 64 patterns is cheap and an LRU list is not worth the code.
            cache.clear();
        }
        cache.insert(self.0.clone(), Arc::clone(&compiled));
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
                // The last line of the message names the problem; the lines before quote the pattern.
                let message = err.to_string();
                let problem =
                    message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Err(D::Error::custom(format_args!(
                    "invalid regular expression {text:?}: {problem}"
                )))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
