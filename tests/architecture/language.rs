//! Counts the language of the code: pronouns in comments, names that are pronouns or participles, comments that
//! give a reason. `.ci/count` prints the figures; `tests/architecture.rs` holds them to their bars.

use std::{fmt, fs, ops::AddAssign};

use proc_macro2::TokenTree;

use crate::source::{Source, inner, is, is_punct};

/// Pronouns and pointing words: a sentence with one leaves its subject to the reader. The same list gives 4.9 for
/// dropshot's own source.
const PRONOUNS: [&str; 21] = [
    "it",
    "its",
    "itself",
    "they",
    "them",
    "their",
    "theirs",
    "themselves",
    "this",
    "that",
    "these",
    "those",
    "one",
    "ones",
    "what",
    "whatever",
    "who",
    "whoever",
    "whom",
    "whose",
    "whichever",
];

/// Names that say nothing of the value: pronouns, and participles in the place of a noun.
pub(crate) const EMPTY_NAMES: [&str; 59] = [
    "it",
    "its",
    "this",
    "that",
    "these",
    "those",
    "one",
    "what",
    "which",
    "who",
    "whoever",
    "there",
    "here",
    "nothing",
    "something",
    "none",
    "other",
    "others",
    "another",
    "both",
    "such",
    "told",
    "found",
    "given",
    "seen",
    "held",
    "asked",
    "wanted",
    "known",
    "done",
    "taken",
    "left",
    "kept",
    "written",
    "made",
    "meant",
    "named",
    "said",
    "heard",
    "sent",
    "begun",
    "gone",
    "shown",
    "spelt",
    "drawn",
    "stored",
    "changed",
    "used",
    "refused",
    "answered",
    "allowed",
    "started",
    "own",
    "ours",
    "theirs",
    "mine",
    "whole",
    "most",
    "more",
];

/// What was counted in some files. Unit tests count for comments and names, not for lines of code.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) lines: usize,
    pub(crate) code_lines: usize,
    pub(crate) comment_words: usize,
    pub(crate) pronouns: usize,
    pub(crate) reason_lines: usize,
    pub(crate) bindings: usize,
    pub(crate) empty_bindings: usize,
    pub(crate) empty_parameters: usize,
}

impl Count {
    /// Counts all of `sources`.
    pub(crate) fn of_all(sources: &[Source]) -> Self {
        let mut total = Self::default();
        for source in sources {
            total += Self::of(source, &fs::read_to_string(&source.path).unwrap());
        }
        total
    }

    /// Names the measures that miss their bar.
    pub(crate) fn breaches(&self) -> Vec<&'static str> {
        let bars = [
            (self.pronouns_per_100_words() < 5.0, "pronouns per 100 words of comments: under 5"),
            (self.empty_bindings_percent() < 0.5, "empty names of let bindings: under 0.5 %"),
            (self.empty_parameters_per_1000_lines() < 1.0, "empty closure parameters: under 1"),
            (self.reasons_percent() >= 3.0, "lines with a comment that gives a reason: 3 %"),
        ];
        bars.into_iter().filter(|(is_met, _)| !is_met).map(|(_, bar)| bar).collect()
    }

    /// Counts one file, of which `text` is the whole.
    pub(crate) fn of(source: &Source, text: &str) -> Self {
        let lexed = Lexed::of(text);
        let mut count = Self { lines: text.lines().count(), ..Self::default() };
        count.code_lines = code_lines(source, &lexed.code);
        for comment in &lexed.comments {
            let is_documentation = comment.starts_with("///") || comment.starts_with("//!");
            count.reason_lines += usize::from(!is_documentation && !comment.starts_with("// ---"));
            let words = words(comment);
            count.comment_words += words.len();
            count.pronouns += words.iter().filter(|word| PRONOUNS.contains(&word.as_str())).count();
        }
        for name in bindings(&source.levels_with_tests()) {
            count.bindings += 1;
            count.empty_bindings += usize::from(EMPTY_NAMES.contains(&name.as_str()));
        }
        let parameters = closure_parameters(&source.levels_with_tests());
        count.empty_parameters =
            parameters.iter().filter(|name| EMPTY_NAMES.contains(&name.as_str())).count();
        count
    }

    /// Pronouns per 100 words of comments.
    pub(crate) fn pronouns_per_100_words(&self) -> f64 {
        ratio(self.pronouns, self.comment_words, 100)
    }

    /// `let` bindings with an empty name, in percent.
    pub(crate) fn empty_bindings_percent(&self) -> f64 {
        ratio(self.empty_bindings, self.bindings, 100)
    }

    /// Closure parameters with an empty name, per 1,000 lines of code.
    pub(crate) fn empty_parameters_per_1000_lines(&self) -> f64 {
        ratio(self.empty_parameters, self.code_lines, 1_000)
    }

    /// Lines with a comment that is no documentation, in percent of all lines.
    pub(crate) fn reasons_percent(&self) -> f64 {
        ratio(self.reason_lines, self.lines, 100)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.code_lines += other.code_lines;
        self.comment_words += other.comment_words;
        self.pronouns += other.pronouns;
        self.reason_lines += other.reason_lines;
        self.bindings += other.bindings;
        self.empty_bindings += other.empty_bindings;
        self.empty_parameters += other.empty_parameters;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pronouns per 100 words of comments      {:.1}",
            self.pronouns_per_100_words()
        )?;
        writeln!(
            f,
            "let bindings with an empty name         {:.2} %",
            self.empty_bindings_percent()
        )?;
        writeln!(
            f,
            "empty closure parameters per 1,000 lines {:.1}",
            self.empty_parameters_per_1000_lines()
        )?;
        writeln!(f, "lines with a comment that gives a reason {:.1} %", self.reasons_percent())?;
        write!(f, "lines of code                           {}", self.code_lines)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of lines are far below 2^52")]
fn ratio(part: usize, whole: usize, scale: usize) -> f64 {
    (part * scale) as f64 / whole.max(1) as f64
}

/// Lines with code outside of unit tests.
fn code_lines(source: &Source, code: &str) -> usize {
    let is_code = |line: &str| !line.trim().is_empty();
    let tests = source.test_lines.iter();
    let in_tests = |number: usize| tests.clone().any(|range| range.contains(&number));
    code.lines().enumerate().filter(|(at, line)| is_code(line) && !in_tests(at + 1)).count()
}

/// The words of a comment in lower case; code between backticks is left out.
fn words(comment: &str) -> Vec<String> {
    let prose = comment.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words = prose.split(|c: char| !c.is_ascii_alphabetic() && c != '\'');
    words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

/// The names that `let` binds without a pattern.
pub(crate) fn bindings(levels: &[Vec<TokenTree>]) -> Vec<String> {
    let mut names = Vec::new();
    for level in levels {
        for at in 0..level.len() {
            if !is(&level[at], "let") {
                continue;
            }
            let mut rest =
                level[at + 1..].iter().skip_while(|token| is(token, "mut") || is(token, "ref"));
            let (Some(TokenTree::Ident(name)), next) = (rest.next(), rest.next()) else { continue };
            let is_plain = next.is_some_and(|token| {
                is_punct(token, '=') || is_punct(token, ':') || is_punct(token, ';')
            });
            let is_lower =
                name.to_string().starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            if is_plain && is_lower {
                names.push(name.to_string());
            }
        }
    }
    names
}

/// The names of closure parameters, those inside of tuple patterns too.
pub(crate) fn closure_parameters(levels: &[Vec<TokenTree>]) -> Vec<String> {
    let mut names = Vec::new();
    for level in levels {
        let mut at = 0;
        while at < level.len() {
            let opens = is_punct(&level[at], '|') && begins_closure(level, at);
            at += 1;
            if !opens {
                continue;
            }
            let length = level[at..].iter().position(|token| is_punct(token, '|')).unwrap_or(0);
            names.extend(pattern_names(&level[at..at + length]));
            at += length + 1;
        }
    }
    names
}

/// Whether the `|` at `at` begins the parameters of a closure, and is no operator.
fn begins_closure(level: &[TokenTree], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).and_then(|at| level.get(at)) else { return true };
    match before {
        TokenTree::Punct(punct) => {
            matches!(punct.as_char(), '=' | ',' | '(' | '>' | ':' | ';' | '{')
        }
        TokenTree::Ident(word) => word == "move" || word == "return" || word == "async",
        _ => false,
    }
}

fn pattern_names(pattern: &[TokenTree]) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_type = false;
    for token in pattern {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => in_type = true,
            TokenTree::Punct(punct) if punct.as_char() == ',' => in_type = false,
            TokenTree::Ident(name) if !in_type => names.push(name.to_string()),
            TokenTree::Group(group) if !in_type => names.extend(pattern_names(&inner(group))),
            _ => (),
        }
    }
    names
}

/// A file in two parts: its code, with texts emptied, and its comments line by line.
struct Lexed {
    code: String,
    comments: Vec<String>,
}

impl Lexed {
    fn of(text: &str) -> Self {
        let mut lexed = Self { code: String::new(), comments: Vec::new() };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = if rest.starts_with("//") {
                let length = rest.find('\n').unwrap_or(rest.len());
                lexed.comments.push(rest[..length].to_owned());
                length
            } else if let Some(length) = literal(rest, lexed.code.chars().next_back()) {
                lexed.code.push('"');
                lexed.code.extend(rest[..length].chars().filter(|c| *c == '\n'));
                lexed.code.push('"');
                length
            } else {
                lexed.code.push(c);
                c.len_utf8()
            };
            rest = &rest[length..];
        }
        lexed
    }
}

/// The length of the string or character literal that `text` begins with.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    if let Some(raw) = text.strip_prefix("br").or_else(|| text.strip_prefix('r')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let opened = text.len() - raw.len() + hashes + 1;
            return Some(opened + text[opened..].find(&end)? + end.len());
        }
    }
    let after = text.strip_prefix('\'')?;
    let is_character = after.starts_with('\\') || after.chars().nth(1) == Some('\'');
    is_character.then(|| quoted(text, '\''))
}

/// The length of a literal up to its closing `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => (),
        }
    }
    text.len()
}

#[test]
fn each_measure_counts_what_it_names() {
    let text = "//! It is what they say.\n// Why.\nfn f() {\n    let told = g(\"// it\");\n    let text = 'a';\n\n    \
                h(|it| it, |(key, found)| key, a | b);\n}\n";
    let count = Count::of(&Source::of("src/a.rs", text), text);
    assert_eq!((count.lines, count.code_lines), (8, 5));
    assert_eq!((count.comment_words, count.pronouns, count.reason_lines), (6, 3, 1));
    assert_eq!((count.bindings, count.empty_bindings), (2, 1));
    assert_eq!(count.empty_parameters, 2);
    assert_eq!(count.breaches().len(), 3);
}
