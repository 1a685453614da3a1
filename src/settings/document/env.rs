//! Documents as `KEY=VALUE` lines, with metadata in comments, which other dotenv parsers ignore.

use std::fmt::Write as _;

use crate::{
    config::dotenv,
    json::{FieldError, FieldErrors, StrictJson},
    settings::{
        change::Edit,
        document::{
            content::{Document, IncomingDocument},
            read,
        },
        value::SettingValue,
    },
    text,
};

/// The comment before a value that parsers would read differently with any quoting.
const NOT_PORTABLE: &str = "# The next line is for `brune config import` and shells; dotenv libraries may read another value.";

/// The prefix of a metadata comment.
const METADATA_PREFIX: &str = "# brune:";

pub(super) fn write(document: &Document) -> String {
    let Document { format_version, exported_at, source, revision, catalog, settings } = document;
    let mut text = String::new();
    let metadata = [
        ("format_version", format_version.to_string()),
        ("exported_at", exported_at.clone()),
        ("source", source.clone()),
        ("revision", revision.to_string()),
        ("catalog", catalog.clone()),
    ];
    for (name, value) in metadata {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{METADATA_PREFIX}{name}={value}");
    }
    for (key, value) in settings {
        let value = plain(value);
        let line = match portable(&value) {
            Some(quoted) => format!("{key}={quoted}"),
            None => format!("{NOT_PORTABLE}\n{key}={}", escaped(&value)),
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn plain(value: &SettingValue) -> String {
    match value {
        SettingValue::String(text) => text.clone(),
        // Lists are written as JSON arrays, because items may contain commas.
        value => value.to_json().to_string(),
    }
}

/// Quotes `text` so that this parser, a POSIX shell, docker compose, python-dotenv and dotenv for Node.js read
/// the same value. Returns `None` if no quoting is portable.
fn portable(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    // In single quotes, python-dotenv and compose read `\\` and `\'` as escapes, and python-dotenv expands `${`.
    let special =
        text.contains('\'') || text.contains("\\\\") || text.ends_with('\\') || text.contains("${");
    if !special {
        return Some(format!("'{text}'"));
    }
    // In double quotes, a shell and compose expand variables, and Node.js keeps backslashes.
    let special = text.contains(['"', '\\', '$', '`']);
    (!special).then(|| format!("\"{text}\""))
}

/// Quotes `text` for this parser and a POSIX shell.
fn escaped(text: &str) -> String {
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut escaped = String::from('"');
    for c in text.chars() {
        // A POSIX shell gives the four characters a meaning between double quotes.
        if matches!(c, '"' | '\\' | '$' | '`') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped.push('"');
    escaped
}

pub(super) fn read(text: &str) -> Result<IncomingDocument, FieldErrors> {
    let mut errors = FieldErrors::default();
    let entries = dotenv::parse(text).unwrap_or_else(|lines| {
        for line in lines {
            let error = FieldError::at("", "malformed_line", line.to_string());
            // Without a pointer, because the detail has the line.
            errors.push(FieldError { pointer: None, ..error });
        }
        Vec::new()
    });
    let version = metadata(text, "format_version");
    // A file of another program has no version comment and is accepted.
    if let Some(version) = version {
        // As a JSON number, so that the check is the same in all formats.
        read::check_version(Some(&StrictJson::Number(version)), &mut errors);
    }
    for entry in &entries {
        if let Err(character) = text::check(&entry.value) {
            let detail = format!("must not contain {character}");
            errors.push(FieldError::at(format!("/{}", entry.key), "forbidden_character", detail));
        }
    }
    let revision = metadata(text, "revision")
        .and_then(|revision| read::revision(&StrictJson::Number(revision), &mut errors));
    if !errors.is_empty() {
        return Err(errors);
    }
    let edit = |entry: dotenv::Entry| Edit {
        key: entry.key,
        value: StrictJson::String(entry.value),
        version: None,
    };
    let edits = entries.into_iter().map(edit).collect();
    let catalog = metadata(text, "catalog");
    // The caller knows the bytes and sets the size.
    Ok(IncomingDocument { revision, catalog, edits, is_untyped: true, size: 0 })
}

fn metadata(text: &str, name: &str) -> Option<String> {
    let metadata_of = |line: &str| {
        let rest = line.strip_prefix(METADATA_PREFIX)?;
        Some(rest.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned())
    };
    text.lines().find_map(metadata_of)
}
