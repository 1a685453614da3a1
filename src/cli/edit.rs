//! A new value of a setting, parsed by the declared type.

use serde_json::{Value, json};

use crate::{
    cli::client::{Client, Failure, path_of},
    text::forbidden,
};

/// A new value of a setting, beside the entry that the service has now.
pub(super) struct Edit {
    key: String,
    /// The current entry.
    pub(super) current: Value,
    value: Value,
}

impl Edit {
    /// Reads the type and the version of `key`, and parses `text`.
    pub(super) async fn read(client: &Client, key: &str, text: &str) -> Result<Self, Failure> {
        let current = client.get(&path_of(key)?).await?;
        // A locked key has no type, so any text is sent: the service rejects and audits the attempt.
        let is_locked = current["locked"] == true;
        let value_type = current["value_type"].as_str().filter(|_| !is_locked).unwrap_or_default();
        let value = parse_value(value_type, text)?;
        Ok(Self { key: key.to_owned(), current, value })
    }

    /// Returns the members of a write of this setting alone.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({"value": self.value});
        // The service requires the version that the change replaces.
        if self.current["version"].is_number() {
            body["version"] = self.current["version"].clone();
        }
        body
    }

    /// Returns the member of a change set.
    pub(super) fn member(&self) -> Value {
        let mut member = self.body();
        member["key"] = json!(self.key);
        member
    }
}

/// Parses a value: JSON for numbers and booleans, JSON or comma-separated items for lists. No error repeats the value.
fn parse_value(value_type: &str, text: &str) -> Result<Value, Failure> {
    let json = || serde_json::from_str(text.trim());
    let mismatch = |expected: &str| Failure::usage(format!("the value must be {expected}"));
    // Trimming would hide a line end.
    if let Some(character) = text.chars().find_map(forbidden) {
        return Err(Failure::rejected(format!("the value must not contain {character}")));
    }
    match value_type {
        "number" => json().ok().filter(Value::is_number).ok_or_else(|| mismatch("a number")),
        "boolean" => json().ok().filter(Value::is_boolean).ok_or_else(|| mismatch("true or false")),
        "string_array" if text.trim_start().starts_with('[') => {
            json().ok().filter(Value::is_array).ok_or_else(|| mismatch("a JSON array"))
        }
        "string_array" => {
            // A trailing comma adds no item; a list with an empty item needs JSON.
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(items.collect())
        }
        _ => Ok(text.into()),
    }
}
