//! Documents as `KEY=VALUE` lines. The metadata stand in comments, so that any other reader of such
//! files passes them over.

use std::fmt::Write as _;

use crate::{
    config::dotenv,
    json::{Fault, Faults, Json},
    settings::{
        document::{Document, Incoming, Raw, read},
        value::SettingValue,
    },
    text,
};

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
        let _ = writeln!(text, "{key}={}", quoted(&spelt(value)));
    }
    text
}

fn spelt(value: &SettingValue) -> String {
    match value {
        SettingValue::String(text) => text.clone(),
        value => value.to_json().to_string(),
    }
}

/// The value so that the strict parser, and a shell, read it back as it is.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

pub(super) fn read(text: &str) -> Result<Incoming, Faults> {
    let mut faults = Faults::default();
    let entries = dotenv::parse(text).unwrap_or_else(|lines| {
        for fault in lines {
            faults.push(Fault {
                pointer: None,
                ..Fault::at("", "malformed_line", fault.to_string())
            });
        }
        Vec::new()
    });
    let version = metadata(text, "format_version");
    // A file that another program wrote says nothing of the form, and has it all the same.
    if let Some(version) = version {
        read::check_version(Some(&Json::Number(version)), &mut faults);
    }
    for entry in &entries {
        if let Err(found) = text::check(&entry.value) {
            let detail = format!("must not contain {found}");
            faults.push(Fault::at(format!("/{}", entry.key), "forbidden_character", detail));
        }
    }
    let revision =
        metadata(text, "revision").and_then(|it| read::revision(&Json::Number(it), &mut faults));
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
