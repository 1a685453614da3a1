//! The structure of JSON and YAML documents.

use crate::{
    json::{FieldError, FieldErrors, StrictJson, field_error, integral},
    settings::{
        change::Edit,
        document::{content::IncomingDocument, format::FORMAT_VERSION},
    },
};

/// Reads a document from `json`, or returns all structural errors.
pub(super) fn document(json: StrictJson) -> Result<IncomingDocument, FieldErrors> {
    let StrictJson::Object(members) = json else {
        return Err(FieldError::at("", "wrong_type", "must be an object").into());
    };
    let mut errors = FieldErrors::default();
    let mut incoming = IncomingDocument {
        revision: None,
        catalog: None,
        edits: Vec::new(),
        is_untyped: false,
        size: 0,
    };
    let mut version = None;
    let mut settings = None;
    for (name, value) in members {
        match name.as_str() {
            "format_version" => version = Some(value),
            // Both fields inform people, so an import only checks the types.
            "exported_at" | "source" => expect_text(&name, &value, &mut errors),
            "revision" => incoming.revision = revision(&value, &mut errors),
            "catalog" => {
                expect_text(&name, &value, &mut errors);
                incoming.catalog = text(value);
            }
            "settings" => settings = Some(value),
            _ => {
                let pointer = field_error::below("", &name);
                errors.push(FieldError::at(pointer, "unknown_field", "unknown field"));
            }
        }
    }
    check_version(version.as_ref(), &mut errors);
    match settings {
        Some(StrictJson::Object(settings)) => {
            let edit = |(key, value)| Edit { key, value, version: None };
            incoming.edits = settings.into_iter().map(edit).collect();
        }
        Some(_) => errors.push(FieldError::at("/settings", "wrong_type", "must be an object")),
        None => errors.push(FieldError::at("/settings", "required", "is required")),
    }
    if errors.is_empty() { Ok(incoming) } else { Err(errors) }
}

/// Verifies that this release supports the format version.
pub(super) fn check_version(version: Option<&StrictJson>, errors: &mut FieldErrors) {
    let version = match version {
        Some(StrictJson::Number(number)) => integral(number),
        _ => None,
    };
    match version {
        Some(FORMAT_VERSION) => (),
        Some(newer) if newer > FORMAT_VERSION => {
            let detail = format!(
                "must be at most {FORMAT_VERSION} for this release, is {newer}; import with a newer release"
            );
            errors.push(FieldError::at("/format_version", "newer_format", detail));
        }
        _ => {
            let detail = format!("must be {FORMAT_VERSION}");
            errors.push(FieldError::at("/format_version", "wrong_type", detail));
        }
    }
}

/// Reads the revision of the document.
pub(super) fn revision(value: &StrictJson, errors: &mut FieldErrors) -> Option<i64> {
    let revision = match value {
        StrictJson::Number(number) => integral(number).filter(|revision| *revision > 0),
        _ => None,
    };
    if revision.is_none() {
        errors.push(FieldError::at("/revision", "wrong_type", "must be a positive integer"));
    }
    revision
}

fn expect_text(name: &str, value: &StrictJson, errors: &mut FieldErrors) {
    if !matches!(value, StrictJson::String(_)) {
        errors.push(FieldError::at(format!("/{name}"), "wrong_type", "must be a string"));
    }
}

fn text(value: StrictJson) -> Option<String> {
    match value {
        StrictJson::String(text) => Some(text),
        _ => None,
    }
}
