//! Documents as `KEY=VALUE` lines. The metadata stand in comments, so that any other reader of such
//! files passes them over.

use std::fmt::Write as _;

use crate::{
    config::dotenv,
    json::{FieldError, FieldErrors, StrictJson},
    settings::{
        document::{Document, Incoming, Raw, read},
        value::SettingValue,
    },
    text,
};

/// Stands before a value that no form of quoting means the same to every reader.
const NOT_PORTABLE: &str = "# The next line is for `brune config import` and shells; dotenv libraries read its value otherwise.";

/// What a comment with metadata begins with.
const MARK: &str = "# brune:";

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
        let _ = writeln!(text, "{MARK}{name}={value}");
    }
    for (key, value) in settings {
        let value = spelt(value);
        let line = match portable(&value) {
            Some(written) => format!("{key}={written}"),
            None => format!("{NOT_PORTABLE}\n{key}={}", escaped(&value)),
        };
        let _ = writeln!(text, "{line}");
    }
    text
}

fn spelt(value: &SettingValue) -> String {
    match value {
        SettingValue::String(text) => text.clone(),
        value => value.to_json().to_string(),
    }
}

/// `text` in a form that our parser, a POSIX shell, docker compose, python-dotenv and dotenv for Node.js read alike:
/// bare, or in the quotes in which none of its characters is special to any of them. `None` if there is no such form.
fn portable(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Some(text.to_owned());
    }
    // In single quotes python-dotenv and compose read `\\` and `\'` as escapes; python-dotenv expands `${`.
    let special =
        text.contains('\'') || text.contains("\\\\") || text.ends_with('\\') || text.contains("${");
    if !special {
        return Some(format!("'{text}'"));
    }
    // In double quotes a shell and compose expand, and Node.js takes backslashes as they are.
    let special = text.contains(['"', '\\', '$', '`']);
    (!special).then(|| format!("\"{text}\""))
}

/// `text` as our parser and a POSIX shell read it.
fn escaped(text: &str) -> String {
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut escaped = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped.push('"');
    escaped
}

pub(super) fn read(text: &str) -> Result<Incoming, FieldErrors> {
    let mut faults = FieldErrors::default();
    let entries = dotenv::parse(text).unwrap_or_else(|lines| {
        for fault in lines {
            faults.push(FieldError {
                pointer: None,
                ..FieldError::at("", "malformed_line", fault.to_string())
            });
        }
        Vec::new()
    });
    let version = metadata(text, "format_version");
    // A file that another program wrote says nothing of the form, and has it all the same.
    if let Some(version) = version {
        read::check_version(Some(&StrictJson::Number(version)), &mut faults);
    }
    for entry in &entries {
        if let Err(found) = text::check(&entry.value) {
            let detail = format!("must not contain {found}");
            faults.push(FieldError::at(format!("/{}", entry.key), "forbidden_character", detail));
        }
    }
    let revision = metadata(text, "revision")
        .and_then(|it| read::revision(&StrictJson::Number(it), &mut faults));
    if !faults.is_empty() {
        return Err(faults);
    }
    let entries = entries.into_iter().map(|entry| (entry.key, Raw::Text(entry.value))).collect();
    Ok(Incoming { revision, catalog: metadata(text, "catalog"), entries, size: 0 })
}

fn metadata(text: &str, name: &str) -> Option<String> {
    let of_line = |line: &str| {
        let rest = line.strip_prefix(MARK)?;
        Some(rest.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned())
    };
    text.lines().find_map(of_line)
}
