//! Documents as YAML. The library is asked to read strictly: no `no` that is false, no key twice, no
//! bomb; and to write what such a reader reads back.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use serde_saphyr::{Error, Location, budget::BudgetBreach};

use crate::{
    json::{FieldError, FieldErrors, StrictJson},
    settings::document::Document,
};

/// What the visitor below says of a number that JSON does not have.
const NOT_FINITE: &str = "no finite number";

/// Nodes of a document; a setting takes two, and each item of a list one.
const NODES: usize = 200_000;

pub(super) fn write(document: &Document) -> Result<String, Box<dyn std::error::Error>> {
    Ok(serde_saphyr::to_string(document)?)
}

pub(super) fn read(text: &str) -> Result<StrictJson, FieldErrors> {
    let budget = serde_saphyr::budget! {
        max_nodes: NODES,
        max_depth: 16,
        max_aliases: 0,
        max_anchors: 0,
        max_documents: 1,
    };
    let options = serde_saphyr::options! {
        strict_booleans: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        // What another reader may take for a number, or act upon, is nothing to guess at.
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: budget,
    };
    let Any(json) =
        serde_saphyr::from_str_with_options(text, options).map_err(|err| fault(&err))?;
    // The same rules for texts as in JSON, by the same reader.
    let text = serde_json::to_vec(&json)
        .map_err(|_| syntax("cannot be written as JSON, which is how it would be stored"))?;
    StrictJson::parse(&text)
}

/// The fault in our own words: the library's may change with a release of it, and may quote the document.
fn fault(err: &Error) -> FieldErrors {
    let what = words(err);
    match err.location().filter(|it| *it != Location::UNKNOWN) {
        Some(place) => {
            syntax(&format!("{what} at line {} column {}", place.line(), place.column()))
        }
        None => syntax(what),
    }
}

fn words(err: &Error) -> &'static str {
    match err {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => words(error),
        Error::Eof { .. } => "the document is empty",
        Error::MultipleDocuments { .. } => "a second document begins; send each document by itself",
        Error::DuplicateMappingKey { .. } => "duplicate key in this mapping",
        Error::MergeKeyNotAllowed { .. } | Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "merge keys (`<<`) are not read; write the entries out"
        }
        Error::UnknownAnchor { .. } | Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "anchors and aliases are not read; write the value out"
        }
        Error::UnsupportedTag { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::TaggedEnumMismatch { .. }
        | Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. } => "tags (`!`) are not read; write the value without one",
        Error::NonFiniteFloat { .. } => "the number is not finite",
        Error::Budget { breach, .. } => budget_words(breach),
        Error::Unexpected { .. } | Error::SerdeInvalidType { .. } => {
            "the value or key is not of a type that is read here; keys must be texts"
        }
        Error::IndentationError { .. } | Error::FoldedBlockScalarMustIndentContent { .. } => {
            "the indentation does not fit"
        }
        Error::QuotingRequired { .. } | Error::InvalidScalar { .. } => {
            "the value is ambiguous; put it in quotes"
        }
        Error::UnexpectedSequenceEnd { .. }
        | Error::UnexpectedMappingEnd { .. }
        | Error::ContainerEndMismatch { .. } => "a list or mapping is not closed properly",
        Error::Message { msg, .. } if msg == NOT_FINITE => "the number is not finite",
        _ => "the text is not valid YAML",
    }
}

fn budget_words(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Depth { .. } => "values are nested too deep",
        BudgetBreach::Documents { .. } => "a second document begins; send each document by itself",
        BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. } => {
            "anchors and aliases are not read; write the value out"
        }
        BudgetBreach::MergeKeys { .. } => "merge keys (`<<`) are not read; write the entries out",
        _ => "the document is too large",
    }
}

fn syntax(detail: &str) -> FieldErrors {
    FieldError { pointer: None, ..FieldError::at("", "invalid_yaml", detail) }.into()
}

/// Whatever stands there.
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
        f.write_str("a value that JSON has as well")
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
        number.map(|it| StrictJson::Number(it.to_string())).ok_or_else(|| E::custom(NOT_FINITE))
    }

    fn visit_str<E>(self, value: &str) -> Result<StrictJson, E> {
        Ok(StrictJson::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<StrictJson, E> {
        Ok(StrictJson::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictJson, A::Error> {
        let mut read = Vec::new();
        while let Some(Any(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(StrictJson::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictJson, A::Error> {
        let mut read = Vec::new();
        while let Some((name, Any(value))) = members.next_entry::<String, Any>()? {
            read.push((name, value));
        }
        Ok(StrictJson::Object(read))
    }
}
