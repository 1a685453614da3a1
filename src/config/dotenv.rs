//! A strict parser of `.env` files.
//!
//! One `KEY=VALUE` per line, an optional `export`, `#` comments, values bare, in single quotes (literal) or in double
//! quotes (`\n \r \t \\ \" \$`). Nothing is interpolated: a `$` is a `$`. A quoted value over several lines is
//! rejected with one error. No error repeats a line or a value, since both may hold a secret.

use std::{collections::HashMap, fmt};

/// An assignment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The variable.
    pub(crate) key: String,
    /// The value, without quotes.
    pub(crate) value: String,
}

/// An invalid line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineError {
    /// The number of the first line, from 1.
    pub(crate) line: usize,
    /// The number of the last line, which is the first for an error of one line.
    pub(crate) last_line: usize,
    /// The problem.
    pub(crate) reason: Reason,
}

/// The problem of an invalid line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// The line has no `=`.
    #[error("missing `=`; write `KEY=VALUE`, or `#` before a comment")]
    NoAssignment,
    /// The text before the `=` is not a name.
    #[error(
        "invalid name before the `=`; use letters, digits and `_`, and no space before the `=`"
    )]
    Name,
    /// The variable is assigned twice.
    #[error("`{key}` is already assigned on line {first}; remove one of the two")]
    Repeated {
        /// The variable.
        key: String,
        /// The line of the first assignment.
        first: usize,
    },
    /// A quote that is never closed.
    #[error(
        "the quote is not closed on the same line; close it, and write a line break as `\\n` in double quotes"
    )]
    OpenQuote,
    /// A quote that is closed on a later line.
    #[error(
        "the quoted value spans several lines; write one line, with `\\n` in double quotes for each line break"
    )]
    SeveralLines,
    /// Text follows the closing quote.
    #[error("text follows the closing quote; quote the whole value")]
    AfterQuote,
    /// An unknown escape.
    #[error(
        "unknown escape; use `\\n \\r \\t \\\\ \\\" \\$`, or single quotes for a literal backslash"
    )]
    Escape,
    /// A control character.
    #[error("contains a control character; remove it")]
    Control,
}

impl LineError {
    /// Returns `line 3` or `lines 3 to 9`.
    pub(crate) fn place(&self) -> String {
        let Self { line, last_line, .. } = self;
        if line == last_line {
            format!("line {line}")
        } else {
            format!("lines {line} to {last_line}")
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

/// Parses the assignments of `text`, in order.
///
/// # Errors
/// Every invalid line.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, Vec<LineError>> {
    // Editors on Windows begin files with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut entries = Vec::new();
    let mut errors = Vec::new();
    let mut first_lines = HashMap::<String, usize>::new();
    let mut rest = text.lines().enumerate();
    // The lines between a quote that is never closed and the next assignment are most likely its value.
    let mut follows_open_quote = false;
    while let Some((at, line)) = rest.next() {
        let line_number = at + 1;
        let entry = assignment(line).and_then(|entry| match entry {
            Some(entry) => check_unique(entry, line_number, &mut first_lines).map(Some),
            None => Ok(None),
        });
        match entry {
            Ok(entry) => {
                follows_open_quote &= entry.is_none();
                entries.extend(entry);
            }
            Err(Reason::NoAssignment | Reason::Name) if follows_open_quote => {}
            Err(Reason::OpenQuote) => {
                let following = rest.clone().map(|(_, line)| line);
                let extent = opening_quote(line).and_then(|quote| lines_to_close(quote, following));
                let reason =
                    if extent.is_some() { Reason::SeveralLines } else { Reason::OpenQuote };
                follows_open_quote = extent.is_none();
                let extent = extent.unwrap_or_default();
                let last_line = line_number + extent;
                errors.push(LineError { line: line_number, last_line, reason });
                rest.by_ref().take(extent).for_each(drop);
            }
            Err(reason) => {
                errors.push(LineError { line: line_number, last_line: line_number, reason });
            }
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// Returns the quote that the value on `line` begins with.
fn opening_quote(line: &str) -> Option<char> {
    let (_, value) = line.split_once('=')?;
    value.trim_start().chars().next().filter(|c| matches!(c, '"' | '\''))
}

/// Returns how many of the `following` lines belong to a value in `quote`, or `None` if the next such quote does not end
/// the value: a quote that is never closed must not hide the errors of later lines.
fn lines_to_close<'a>(quote: char, following: impl Iterator<Item = &'a str>) -> Option<usize> {
    for (at, line) in following.enumerate() {
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            // An escaped quote does not close the value.
            if c == '\\' && quote == '"' {
                chars.next();
            } else if c == quote {
                return check_rest(chars.as_str()).ok().map(|()| at + 1);
            }
        }
    }
    None
}

fn check_unique(
    entry: Entry,
    line: usize,
    first_lines: &mut HashMap<String, usize>,
) -> Result<Entry, Reason> {
    if let Some(&first) = first_lines.get(&entry.key) {
        return Err(Reason::Repeated { key: entry.key, first });
    }
    first_lines.insert(entry.key.clone(), line);
    Ok(entry)
}

/// Parses the assignment of a line; `None` for a blank line or a comment.
fn assignment(untrimmed: &str) -> Result<Option<Entry>, Reason> {
    let line = untrimmed.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    // Trimming would hide a carriage return that is not part of a line end.
    if untrimmed.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Reason::Control);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (key, value) = line.split_once('=').ok_or(Reason::NoAssignment)?;
    // Shells accept no other names.
    if !is_name(key) {
        return Err(Reason::Name);
    }
    let value = match value.trim_start().chars().next() {
        Some('\'') => single_quoted(value.trim_start())?,
        Some('"') => double_quoted(value.trim_start())?,
        _ => bare(value),
    };
    Ok(Some(Entry { key: key.to_owned(), value }))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Parses a bare value, which ends at a `#` after white space, or at the end of the line.
fn bare(text: &str) -> String {
    let marks = text.match_indices('#').map(|(at, _)| at);
    let end = marks.into_iter().find(|&at| text[..at].ends_with([' ', '\t']));
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

fn single_quoted(text: &str) -> Result<String, Reason> {
    let (value, rest) = text[1..].split_once('\'').ok_or(Reason::OpenQuote)?;
    check_rest(rest)?;
    Ok(value.to_owned())
}

fn double_quoted(text: &str) -> Result<String, Reason> {
    let mut value = String::new();
    let mut rest = text[1..].chars();
    loop {
        match rest.next().ok_or(Reason::OpenQuote)? {
            '"' => break,
            '\\' => value.push(match rest.next().ok_or(Reason::OpenQuote)? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                literal @ ('\\' | '"' | '$' | '`') => literal,
                _ => return Err(Reason::Escape),
            }),
            c => value.push(c),
        }
    }
    check_rest(rest.as_str())?;
    Ok(value)
}

fn check_rest(rest: &str) -> Result<(), Reason> {
    let trimmed = rest.trim_start();
    let is_comment = trimmed.starts_with('#') && trimmed.len() < rest.len();
    if trimmed.is_empty() || is_comment { Ok(()) } else { Err(Reason::AfterQuote) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        let mut entries = parse(line).unwrap_or_else(|errors| panic!("{line:?}: {errors:?}"));
        assert_eq!(entries.len(), 1, "{line:?}");
        entries.remove(0).value
    }

    #[test]
    fn values_are_parsed_literally() {
        for (line, expected) in [
            ("A=30", "30"),
            ("A=", ""),
            ("A=   ", ""),
            ("A=two words", "two words"),
            ("  export\tA=x  ", "x"),
            ("export=x", "x"),
            ("A=[\"a\",\"b\"]", "[\"a\",\"b\"]"),
            ("A=a#b", "a#b"),
            ("A=a # b", "a"),
            ("A= # nothing", ""),
            ("A=#x", "#x"),
            ("A=x=y==", "x=y=="),
            ("A=${HOME}", "${HOME}"),
            ("A='a # $b \\n \"'", "a # $b \\n \""),
            ("A='' # none", ""),
            (r#"A="a\n\t\\\"\$b # c""#, "a\n\t\\\"$b # c"),
            ("A=ação", "ação"),
        ] {
            assert_eq!(value(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_and_windows_line_ends_are_not_part_of_a_value() {
        let entries = parse("\u{feff}A=1\r\n\r\n# note\r\nB=2\r\n").unwrap();
        let pairs: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "2")]);
    }

    #[test]
    fn a_carriage_return_within_a_line_is_an_error() {
        for text in ["A=3\r", "A=1\rB=2\n", "A=3\r\r\n", "\rA=3\n"] {
            let errors = parse(text).err().unwrap();
            assert_eq!(
                errors,
                [LineError { line: 1, last_line: 1, reason: Reason::Control }],
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_invalid_line_is_reported_with_its_reason() {
        let text =
            "A=1\nnonsense\nB =2\n9C=3\nA=4\nD='open\nE=\"open\\\nF='x'y\nG=\"\\q\"\nH=\u{0}\n";
        let errors = parse(text).err().unwrap();
        let lines: Vec<_> = errors.iter().map(|error| (error.line, error.reason.clone())).collect();
        assert_eq!(
            lines,
            [
                (2, Reason::NoAssignment),
                (3, Reason::Name),
                (4, Reason::Name),
                (5, Reason::Repeated { key: "A".into(), first: 1 }),
                (6, Reason::OpenQuote),
                (7, Reason::OpenQuote),
                (8, Reason::AfterQuote),
                (9, Reason::Escape),
                (10, Reason::Control),
            ]
        );
    }

    #[test]
    fn a_value_over_several_lines_is_one_error_and_later_lines_are_parsed() {
        let place = |text: &str| -> Vec<String> {
            parse(text).err().unwrap().iter().map(LineError::place).collect()
        };
        assert_eq!(place("A='x\ny=1\nz'\nnonsense"), ["lines 1 to 3", "line 4"]);
        assert_eq!(place("A=\"x\n\\\"y\nz\" # end\n\nB='open\nC=2"), ["lines 1 to 3", "line 5"]);
        assert_eq!(place("A='open\nB='x'\nC=\"open\nD=\"y\""), ["line 1", "line 3"]);
        assert_eq!(place("A=\"open\nB=1\nC=2"), ["line 1"]);
    }

    #[test]
    fn a_repeated_variable_reports_both_lines() {
        let errors = parse("A=1\n\nA=1").err().unwrap();
        assert_eq!(
            errors[0].to_string(),
            "line 3: `A` is already assigned on line 1; remove one of the two"
        );
    }

    #[test]
    fn no_error_repeats_the_line() {
        for line in
            ["sk-verysecret", "sk-verysecret =x", "A='sk-verysecret", "A=\"\\qsk-verysecret\""]
        {
            let errors = parse(line).err().unwrap();
            assert!(!format!("{errors:?} {}", errors[0]).contains("verysecret"), "{line}");
        }
    }
}
