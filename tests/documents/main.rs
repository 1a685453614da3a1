//! Compares the documents with the service: the tutorial, the OpenAPI document, the statements for operators, and
//! the README's commands.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod catalogs;
mod commands;
mod compose;
mod monitoring;
mod openapi;
mod readme;
mod requests;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod toolchain;
mod tutorial;

/// Returns the fenced blocks of a document, in order: the language of each, and its text.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let content: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind, content.join("\n")));
        }
    }
    blocks
}

/// Returns the part of a document under the heading `title`, up to the next heading of the same or a higher level.
fn section<'t>(text: &'t str, title: &str) -> &'t str {
    let level = title.bytes().take_while(|byte| *byte == b'#').count();
    let (_, rest) = text.split_once(&format!("\n{title}\n")).expect(title);
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=level).contains(&marks) && line[marks..].starts_with(' ') {
            break;
        }
        end += line.len();
    }
    &rest[..end]
}
