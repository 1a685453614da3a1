//! Values as text, in environment variables and `.env` files.

use crate::{json::StrictJson, settings::value::ValueType};

/// Converts a text to JSON by the declared type: numbers and booleans as in JSON, lists as a JSON array or
/// comma-separated. Returns `null`, which no type accepts, for any other text.
pub(super) fn from_text(value_type: ValueType, text: &str) -> StrictJson {
    // Not for strings, where white space may be part of the value.
    let trimmed = text.trim();
    match value_type {
        ValueType::String => StrictJson::String(text.to_owned()),
        ValueType::Number if trimmed.parse::<serde_json::Number>().is_ok() => {
            StrictJson::Number(trimmed.to_owned())
        }
        ValueType::Number => StrictJson::Null,
        ValueType::Boolean => match trimmed {
            "true" => StrictJson::Bool(true),
            "false" => StrictJson::Bool(false),
            _ => StrictJson::Null,
        },
        ValueType::StringArray => list(trimmed),
    }
}

fn list(text: &str) -> StrictJson {
    if text.starts_with('[') {
        // A JSON array, because items may contain commas.
        let items: Option<Vec<String>> = serde_json::from_str(text).ok();
        return items.map_or(StrictJson::Null, |items| {
            StrictJson::Array(items.into_iter().map(StrictJson::String).collect())
        });
    }
    // Empty items are dropped, so that an empty text is an empty list.
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    StrictJson::Array(items.map(|item| StrictJson::String(item.to_owned())).collect())
}
