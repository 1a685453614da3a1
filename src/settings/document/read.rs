//! The shape of a document.

use crate::{
    json::{FieldError, FieldErrors, StrictJson, field_error, integral},
    settings::document::{FORMAT_VERSION, Incoming, Raw},
};

/// The document that `json` is, or everything that keeps it from being one.
pub(super) fn document(json: StrictJson) -> Result<Incoming, FieldErrors> {
    let StrictJson::Object(members) = json else {
        return Err(FieldError::at("", "wrong_type", "a document is an object").into());
    };
    let mut faults = FieldErrors::default();
    let mut incoming = Incoming { revision: None, catalog: None, entries: Vec::new(), size: 0 };
    let (mut version, mut settings) = (None, None);
    for (name, value) in members {
        match name.as_str() {
            "format_version" => version = Some(value),
            "exported_at" | "source" => expect_text(&name, &value, &mut faults),
            "revision" => incoming.revision = revision(&value, &mut faults),
            "catalog" => {
                expect_text(&name, &value, &mut faults);
                incoming.catalog = text(value);
            }
            "settings" => settings = Some(value),
            _ => {
                let pointer = field_error::below("", &name);
                faults.push(FieldError::at(
                    pointer,
                    "unknown_field",
                    "a document has no such field",
                ));
            }
        }
    }
    check_version(version.as_ref(), &mut faults);
    match settings {
        Some(StrictJson::Object(settings)) => {
            incoming.entries = settings.into_iter().map(|(key, it)| (key, Raw::Json(it))).collect();
        }
        Some(_) => faults.push(FieldError::at("/settings", "wrong_type", "must be an object")),
        None => faults.push(FieldError::at("/settings", "required", "is needed")),
    }
    if faults.is_empty() { Ok(incoming) } else { Err(faults) }
}

/// The version of the form, which must be one that this release reads.
pub(super) fn check_version(version: Option<&StrictJson>, faults: &mut FieldErrors) {
    let known = match version {
        Some(StrictJson::Number(number)) => integral(number),
        _ => None,
    };
    match known {
        Some(FORMAT_VERSION) => (),
        Some(newer) if FORMAT_VERSION < newer => {
            let detail = format!(
                "is {newer}, and this release reads {FORMAT_VERSION}; import it with a newer one"
            );
            faults.push(FieldError::at("/format_version", "newer_format", detail));
        }
        _ => {
            let detail = format!("must be {FORMAT_VERSION}");
            faults.push(FieldError::at("/format_version", "wrong_type", detail));
        }
    }
}

/// The revision that the document says it is of.
pub(super) fn revision(value: &StrictJson, faults: &mut FieldErrors) -> Option<i64> {
    let found = match value {
        StrictJson::Number(number) => integral(number).filter(|it| 0 < *it),
        _ => None,
    };
    if found.is_none() {
        faults.push(FieldError::at("/revision", "wrong_type", "must be a positive integer"));
    }
    found
}

fn expect_text(name: &str, value: &StrictJson, faults: &mut FieldErrors) {
    if !matches!(value, StrictJson::String(_)) {
        faults.push(FieldError::at(format!("/{name}"), "wrong_type", "must be a string"));
    }
}

fn text(value: StrictJson) -> Option<String> {
    match value {
        StrictJson::String(text) => Some(text),
        _ => None,
    }
}
