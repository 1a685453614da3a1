//! The declarations as a JSON Schema (draft 2020-12), for editors and typed clients.

use serde_json::{Map, Value, json};

use crate::settings::{
    constraints::Constraints,
    schema::{Applies, Definition, Schema},
    value::ValueType,
};

/// Returns the schema of an object with every editable setting of `schema`.
///
/// The constraint `member_of` appears only in descriptions: JSON Schema cannot refer to an item of another
/// property.
#[must_use]
pub fn json_schema(schema: &Schema) -> Value {
    let properties: Map<String, Value> = schema
        .editable()
        .map(|definition| (definition.key.clone(), property(definition)))
        .collect();
    let required: Vec<&String> = schema.editable().map(|definition| &definition.key).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        // With the revision, so that editors can cache the schema.
        "$id": format!("urn:brune:catalog:{}:{}", schema.catalog, schema.revision),
        "title": schema.catalog,
        "type": "object",
        "properties": properties,
        "required": required,
        // Editors mark misspelled keys.
        "additionalProperties": false,
    })
}

fn property(definition: &Definition) -> Value {
    let mut property = Map::new();
    let mut description = definition.description.clone();
    if let Some(list) = &definition.constraints.member_of {
        description = format!("{description} One of the items of {list}.");
    }
    property.insert("description".to_owned(), description.into());
    property.extend(keywords(definition.value_type, &definition.constraints));
    if let Some(default) = &definition.default {
        property.insert("default".to_owned(), default.to_json());
    }
    // Extension keywords, which validators ignore.
    property.insert("x-category".to_owned(), definition.category.clone().into());
    let applies = match definition.applies {
        Applies::NewSessions => "new_sessions",
        Applies::Hot => "hot",
        Applies::Restart => "restart",
    };
    property.insert("x-applies".to_owned(), applies.into());
    property.into()
}

fn keywords(value_type: ValueType, rule: &Constraints) -> Map<String, Value> {
    let mut keywords = Map::new();
    let mut put = |keyword: &str, value: Option<Value>| {
        if let Some(value) = value {
            keywords.insert(keyword.to_owned(), value);
        }
    };
    match value_type {
        ValueType::Boolean => put("type", Some("boolean".into())),
        ValueType::Number => {
            let integer = rule.integer == Some(true);
            put("type", Some(if integer { "integer" } else { "number" }.into()));
            put("minimum", rule.min.map(|value| json!(value)));
            put("maximum", rule.max.map(|value| json!(value)));
        }
        ValueType::String => {
            put("type", Some("string".into()));
            put("pattern", rule.regex.as_ref().map(|value| json!(value)));
            put("minLength", rule.min_length.map(|value| json!(value)));
            put("maxLength", rule.max_length.map(|value| json!(value)));
            put("enum", rule.choices.as_ref().map(|value| json!(value)));
        }
        ValueType::StringArray => {
            let mut items = Map::from_iter([("type".to_owned(), json!("string"))]);
            let item_keywords = [
                ("pattern", rule.item_regex.as_ref().map(|value| json!(value))),
                ("maxLength", rule.item_max_length.map(|value| json!(value))),
                ("enum", rule.choices.as_ref().map(|value| json!(value))),
            ];
            items.extend(
                item_keywords
                    .into_iter()
                    .filter_map(|(keyword, value)| Some((keyword.to_owned(), value?))),
            );
            put("type", Some("array".into()));
            put("items", Some(items.into()));
            put("minItems", rule.min_items.map(|value| json!(value)));
            put("maxItems", rule.max_items.map(|value| json!(value)));
            put("uniqueItems", rule.unique.map(|value| json!(value)));
        }
    }
    keywords
}
