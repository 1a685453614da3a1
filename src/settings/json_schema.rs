//! The declarations as a JSON Schema (draft 2020-12), for editors and typed clients.

use serde_json::{Map, Value, json};

use crate::settings::{
    constraints::Constraints,
    schema::{Applies, Definition, Schema},
    value::ValueType,
};

/// The schema of an object that holds every editable setting of `schema`. Ties between settings are told
/// in descriptions: JSON Schema has no word for "an item of another property".
#[must_use]
pub fn json_schema(schema: &Schema) -> Value {
    let properties: Map<String, Value> =
        schema.editable().map(|it| (it.key.clone(), property(it))).collect();
    let required: Vec<&String> = schema.editable().map(|it| &it.key).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:brune:catalog:{}:{}", schema.catalog, schema.revision),
        "title": schema.catalog,
        "type": "object",
        "properties": properties,
        "required": required,
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
    property.extend(rules(definition.value_type, &definition.constraints));
    if let Some(default) = &definition.default {
        property.insert("default".to_owned(), default.to_json());
    }
    property.insert("x-category".to_owned(), definition.category.clone().into());
    let applies = match definition.applies {
        Applies::NewSessions => "new_sessions",
        Applies::Hot => "hot",
        Applies::Restart => "restart",
    };
    property.insert("x-applies".to_owned(), applies.into());
    property.into()
}

fn rules(value_type: ValueType, rule: &Constraints) -> Map<String, Value> {
    let mut words = Map::new();
    let mut put = |word: &str, value: Option<Value>| {
        if let Some(value) = value {
            words.insert(word.to_owned(), value);
        }
    };
    match value_type {
        ValueType::Boolean => put("type", Some("boolean".into())),
        ValueType::Number => {
            let integer = rule.integer == Some(true);
            put("type", Some(if integer { "integer" } else { "number" }.into()));
            put("minimum", rule.min.map(|it| json!(it)));
            put("maximum", rule.max.map(|it| json!(it)));
        }
        ValueType::String => {
            put("type", Some("string".into()));
            put("pattern", rule.regex.as_ref().map(|it| json!(it)));
            put("minLength", rule.min_length.map(|it| json!(it)));
            put("maxLength", rule.max_length.map(|it| json!(it)));
            put("enum", rule.choices.as_ref().map(|it| json!(it)));
        }
        ValueType::StringArray => {
            let mut items = Map::from_iter([("type".to_owned(), json!("string"))]);
            let given = [
                ("pattern", rule.item_regex.as_ref().map(|it| json!(it))),
                ("maxLength", rule.item_max_length.map(|it| json!(it))),
                ("enum", rule.choices.as_ref().map(|it| json!(it))),
            ];
            items.extend(given.into_iter().filter_map(|(word, it)| Some((word.to_owned(), it?))));
            put("type", Some("array".into()));
            put("items", Some(items.into()));
            put("minItems", rule.min_items.map(|it| json!(it)));
            put("maxItems", rule.max_items.map(|it| json!(it)));
            put("uniqueItems", rule.unique.map(|it| json!(it)));
        }
    }
    words
}
