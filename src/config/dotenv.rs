//! The text of a `.env` file, read strictly: what it says is what it means, or it is refused.
//!
//! One `KEY=VALUE` per line, an optional `export`, `#` comments, values bare, in single quotes (taken
//! as they stand) or in double quotes (`\n \r \t \\ \" \$`). Nothing is interpolated: a `$` is a `$`. A quoted value
//! over several lines is refused, as one fault.
//! No fault repeats a line or a value, since both may hold a secret.

use std::{collections::HashMap, fmt};

/// One assignment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The variable.
    pub(crate) key: String,
    /// Its value, without quotes.
    pub(crate) value: String,
}

/// A line that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, counted from 1. The first line of several.
    pub(crate) line: usize,
    /// The last line, which is the first for a fault of one line.
    pub(crate) last_line: usize,
    /// What is wrong with it.
    pub(crate) reason: Reason,
}

/// Why a line cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    /// No `=` in it.
    #[error("no `=`; write `KEY=VALUE`, or `#` before a comment")]
    NoAssignment,
    /// What stands before the `=` is no name.
    #[error(
        "what stands before the `=` is no name; use letters, digits and `_`, and no blank before the `=`"
    )]
    Name,
    /// The variable was given before.
    #[error("`{key}` was already given on line {first}; remove one of the two")]
    Repeated {
        /// The variable.
        key: String,
        /// Where it stands first.
        first: usize,
    },
    /// A quote that never ends.
    #[error(
        "the quote is not closed on the same line; close it, and write a line break as `\\n` in double quotes"
    )]
    OpenQuote,
    /// A quote that is closed on a later line.
    #[error(
        "a quoted value goes over several lines; write it on one line, with `\\n` in double quotes for each line break"
    )]
    SeveralLines,
    /// Text behind the closing quote.
    #[error("text follows the closing quote; quote the whole value")]
    AfterQuote,
    /// A backslash before something that needs none.
    #[error(
        "an unknown escape; `\\n \\r \\t \\\\ \\\" \\$` are known, and single quotes take a backslash as it is"
    )]
    Escape,
    /// A control character.
    #[error("a control character stands in it; remove it")]
    Control,
}

impl Fault {
    /// Where it is: `line 3` or `lines 3 to 9`.
    pub(crate) fn place(&self) -> String {
        let Self { line, last_line, .. } = self;
        if line == last_line {
            format!("line {line}")
        } else {
            format!("lines {line} to {last_line}")
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.reason)
    }
}

/// The assignments of `text` in their order, or every fault in it.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let mut seen = HashMap::<String, usize>::new();
    let mut rest = text.lines().enumerate();
    // After a quote that is never closed the lines up to the next assignment are most likely its value.
    let mut follows_open_quote = false;
    while let Some((at, line)) = rest.next() {
        let line_number = at + 1;
        let entry = assignment(line).and_then(|entry| match entry {
            Some(entry) => first_of_its_name(entry, line_number, &mut seen).map(Some),
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
                let more = opening_quote(line).and_then(|quote| lines_to_close(quote, following));
                let reason = if more.is_some() { Reason::SeveralLines } else { Reason::OpenQuote };
                follows_open_quote = more.is_none();
                let more = more.unwrap_or_default();
                faults.push(Fault { line: line_number, last_line: line_number + more, reason });
                rest.by_ref().take(more).for_each(drop);
            }
            Err(reason) => faults.push(Fault { line: line_number, last_line: line_number, reason }),
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

/// The quote that the value on `line` begins with.
fn opening_quote(line: &str) -> Option<char> {
    let (_, value) = line.split_once('=')?;
    value.trim_start().chars().next().filter(|c| matches!(c, '"' | '\''))
}

/// How many of the `following` lines a value in `quote` still takes. `None` unless the next such quote ends it: a
/// quote that was never closed must not hide the lines after it.
fn lines_to_close<'a>(quote: char, following: impl Iterator<Item = &'a str>) -> Option<usize> {
    for (at, line) in following.enumerate() {
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            if c == '\\' && quote == '"' {
                chars.next();
            } else if c == quote {
                return nothing_but_a_comment(chars.as_str()).ok().map(|()| at + 1);
            }
        }
    }
    None
}

fn first_of_its_name(
    entry: Entry,
    line: usize,
    seen: &mut HashMap<String, usize>,
) -> Result<Entry, Reason> {
    if let Some(&first) = seen.get(&entry.key) {
        return Err(Reason::Repeated { key: entry.key, first });
    }
    seen.insert(entry.key.clone(), line);
    Ok(entry)
}

/// What one line assigns; `None` for a blank one and a comment.
fn assignment(whole: &str) -> Result<Option<Entry>, Reason> {
    let line = whole.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    // Before it is trimmed: a carriage return that ends no line is no part of a line end.
    if whole.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Reason::Control);
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (key, value) = line.split_once('=').ok_or(Reason::NoAssignment)?;
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

/// A bare value ends at the line's end, or at a `#` that has a blank before it.
fn bare(text: &str) -> String {
    let comment = text.match_indices('#').map(|(at, _)| at);
    let end = comment.into_iter().find(|&at| text[..at].ends_with([' ', '\t']));
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

fn single_quoted(text: &str) -> Result<String, Reason> {
    let (value, rest) = text[1..].split_once('\'').ok_or(Reason::OpenQuote)?;
    nothing_but_a_comment(rest)?;
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
    nothing_but_a_comment(rest.as_str())?;
    Ok(value)
}

fn nothing_but_a_comment(rest: &str) -> Result<(), Reason> {
    let after = rest.trim_start();
    let comment = after.starts_with('#') && after.len() < rest.len();
    if after.is_empty() || comment { Ok(()) } else { Err(Reason::AfterQuote) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> String {
        let mut entries = parse(line).unwrap_or_else(|faults| panic!("{line:?}: {faults:?}"));
        assert_eq!(entries.len(), 1, "{line:?}");
        entries.remove(0).value
    }

    #[test]
    fn a_value_is_read_as_it_stands() {
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
    fn a_byte_order_mark_and_the_line_ends_of_windows_are_no_part_of_a_value() {
        let entries = parse("\u{feff}A=1\r\n\r\n# note\r\nB=2\r\n").unwrap();
        let pairs: Vec<_> = entries.iter().map(|it| (it.key.as_str(), it.value.as_str())).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "2")]);
    }

    #[test]
    fn a_carriage_return_that_ends_no_line_is_a_fault() {
        for text in ["A=3\r", "A=1\rB=2\n", "A=3\r\r\n", "\rA=3\n"] {
            let faults = parse(text).err().unwrap();
            assert_eq!(
                faults,
                [Fault { line: 1, last_line: 1, reason: Reason::Control }],
                "{text:?}"
            );
        }
    }

    #[test]
    fn every_faulty_line_is_named_with_its_reason() {
        let text =
            "A=1\nnonsense\nB =2\n9C=3\nA=4\nD='open\nE=\"open\\\nF='x'y\nG=\"\\q\"\nH=\u{0}\n";
        let faults = parse(text).err().unwrap();
        let lines: Vec<_> = faults.iter().map(|it| (it.line, it.reason.clone())).collect();
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
    fn a_value_over_several_lines_is_one_fault_and_the_lines_after_it_are_read() {
        let place = |text: &str| -> Vec<String> {
            parse(text).err().unwrap().iter().map(Fault::place).collect()
        };
        assert_eq!(place("A='x\ny=1\nz'\nnonsense"), ["lines 1 to 3", "line 4"]);
        assert_eq!(place("A=\"x\n\\\"y\nz\" # end\n\nB='open\nC=2"), ["lines 1 to 3", "line 5"]);
        assert_eq!(place("A='open\nB='x'\nC=\"open\nD=\"y\""), ["line 1", "line 3"]);
        assert_eq!(place("A=\"open\nB=1\nC=2"), ["line 1"]);
    }

    #[test]
    fn a_repeated_variable_names_both_lines() {
        let faults = parse("A=1\n\nA=1").err().unwrap();
        assert_eq!(
            faults[0].to_string(),
            "line 3: `A` was already given on line 1; remove one of the two"
        );
    }

    #[test]
    fn no_fault_repeats_what_the_line_holds() {
        for line in
            ["sk-verysecret", "sk-verysecret =x", "A='sk-verysecret", "A=\"\\qsk-verysecret\""]
        {
            let faults = parse(line).err().unwrap();
            assert!(!format!("{faults:?} {}", faults[0]).contains("verysecret"), "{line}");
        }
    }
}
