//! Documents as YAML. The parser is strict: `no` is a string, duplicate keys are errors, and limits prevent
//! entity expansion attacks.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use serde_saphyr::{Error, Location, budget::BudgetBreach};

use crate::{
    json::{FieldError, FieldErrors, StrictJson},
    settings::document::content::Document,
};

/// The visitor's message for an infinite number or NaN, which JSON does not have.
const NOT_FINITE: &str = "number must be finite";

/// Maximum number of nodes of a document: two for each setting, and one for each item of a list.
const MAX_NODES: usize = 200_000;

pub(super) fn write(document: &Document) -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_saphyr::to_string(document)?)
}

pub(super) fn read(text: &str) -> Result<StrictJson, FieldErrors> {
    let budget = serde_saphyr::budget! {
        max_nodes: MAX_NODES,
        max_depth: 16,
        // Aliases allow exponential expansion, and exports contain no alias.
        max_aliases: 0,
        max_anchors: 0,
        // A second document would be ignored silently.
        max_documents: 1,
    };
    let options = serde_saphyr::options! {
        // YAML 1.1 reads `no` and `on` as booleans.
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        // Other YAML parsers read such scalars as numbers, so the meaning would be ambiguous.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        // A tag could change the type of a value.
        reject_unsupported_tags: true,
        // A snippet would quote the document, which may contain a secret.
        with_snippet: false,
        budget: budget,
    };
    let Any(json) =
        serde_saphyr::from_str_with_options(text, options).map_err(|err| describe_error(&err))?;
    // A second pass through the JSON parser, so that texts follow the same rules as in JSON.
    let text = serde_json::to_vec(&json)
        .map_err(|_| syntax("must be representable as JSON, the storage format"))?;
    StrictJson::parse(&text)
}

/// Describes an error in fixed words: the library's messages may change between releases and may quote the
/// document.
fn describe_error(err: &Error) -> FieldErrors {
    let problem = describe(err);
    match err.location().filter(|location| *location != Location::UNKNOWN) {
        Some(location) => {
            syntax(&format!("{problem} at line {} column {}", location.line(), location.column()))
        }
        None => syntax(problem),
    }
}

fn describe(err: &Error) -> &'static str {
    match err {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => describe(error),
        Error::Eof { .. } => "the document is empty",
        Error::MultipleDocuments { .. } => "multiple documents; send one document per request",
        Error::DuplicateMappingKey { .. } => "duplicate key",
        Error::MergeKeyNotAllowed { .. } | Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "merge keys (`<<`) are not supported; write the entries out"
        }
        Error::UnknownAnchor { .. } | Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "anchors and aliases are not supported; write the value out"
        }
        Error::UnsupportedTag { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::TaggedEnumMismatch { .. }
        | Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. } => {
            "tags (`!`) are not supported; write the value without a tag"
        }
        Error::NonFiniteFloat { .. } => "number must be finite",
        Error::Budget { breach, .. } => describe_budget(breach),
        Error::Unexpected { .. } | Error::SerdeInvalidType { .. } => {
            "unsupported type of key or value; keys must be strings"
        }
        Error::IndentationError { .. } | Error::FoldedBlockScalarMustIndentContent { .. } => {
            "invalid indentation"
        }
        Error::QuotingRequired { .. } | Error::InvalidScalar { .. } => {
            "ambiguous value; put the value in quotes"
        }
        Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. }
        | Error::ContainerEndMismatch { .. } => "unclosed list or mapping",
        Error::Message { msg, .. } if msg == NOT_FINITE => "number must be finite",
        _ => "invalid YAML",
    }
}

fn describe_budget(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Depth { .. } => "values are nested too deeply",
        BudgetBreach::Documents { .. } => "multiple documents; send one document per request",
        BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. } => {
            "anchors and aliases are not supported; write the value out"
        }
        BudgetBreach::MergeKeys { .. } => {
            "merge keys (`<<`) are not supported; write the entries out"
        }
        _ => "the document is too large",
    }
}

fn syntax(detail: &str) -> FieldErrors {
    // Without a pointer, because the detail has the line and the column.
    FieldError { pointer: None, ..FieldError::at("", "invalid_yaml", detail) }.into()
}

/// Any value.
struct Any(StrictJson);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = StrictJson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON supports")
    }

    fn visit_bool<E>(self, value: bool) -> Result<StrictJson, E> {
        Ok(StrictJson::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<StrictJson, E> {
        Ok(StrictJson::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<StrictJson, E> {
        Ok(StrictJson::Number(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<StrictJson, E> {
        let number = serde_json::Number::from_f64(value);
        number
            .map(|number| StrictJson::Number(number.to_string()))
            .ok_or_else(|| E::custom(NOT_FINITE))
    }

    fn visit_str<E>(self, value: &str) -> Result<StrictJson, E> {
        Ok(StrictJson::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<StrictJson, E> {
        Ok(StrictJson::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictJson, A::Error> {
        let mut array = Vec::new();
        while let Some(Any(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(StrictJson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictJson, A::Error> {
        let mut object = Vec::new();
        while let Some((name, Any(value))) = members.next_entry::<String, Any>()? {
            object.push((name, value));
        }
        Ok(StrictJson::Object(object))
    }
}
