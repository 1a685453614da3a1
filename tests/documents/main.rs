//! What is written about the service, held to what the service does: the README's tour, the OpenAPI
//! document, and the statements that the documents tell an operator to run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod catalogs;
mod compose;
mod openapi;
mod readme;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod watching;

/// The fenced blocks of a document, in order: what each is said to be, and its text.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let inside: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind, inside.join("\n")));
        }
    }
    blocks
}

/// The part of a document under the heading `title`, up to the next one of its rank or a higher one.
fn section<'t>(text: &'t str, title: &str) -> &'t str {
    let rank = title.bytes().take_while(|byte| *byte == b'#').count();
    let (_, rest) = text.split_once(&format!("\n{title}\n")).expect(title);
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        if (1..=rank).contains(&marks) && line[marks..].starts_with(' ') {
            break;
        }
        end += line.len();
    }
    &rest[..end]
}
