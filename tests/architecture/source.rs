//! A Rust file as the checks see it: its tokens, without comments, texts and unit tests.

use std::{collections::BTreeSet, fs, ops::RangeInclusive, path::Path, str::FromStr as _};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A file of the crate.
pub(crate) struct Source {
    /// From the crate's root on, with `/`.
    pub(crate) path: String,
    /// What the compiler sees of it outside of tests.
    pub(crate) tokens: Vec<TokenTree>,
    /// Everything, unit tests included.
    pub(crate) all_tokens: Vec<TokenTree>,
    /// Lines, those of its unit tests left out.
    pub(crate) lines: usize,
    /// The lines of its unit tests, counted from 1.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let tokens = TokenStream::from_str(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        let all_tokens: Vec<_> = tokens.clone().into_iter().collect();
        let (tokens, test_lines) = without_tests(tokens);
        let tested: usize = test_lines.iter().map(|lines| lines.end() - lines.start() + 1).sum();
        let lines = text.lines().count() - tested;
        Self { path: path.to_owned(), tokens, all_tokens, lines, test_lines }
    }

    /// Every `.rs` file below `dir`.
    pub(crate) fn all(dir: &str) -> Vec<Self> {
        let rust = |path: &String| Path::new(path).extension().is_some_and(|it| it == "rs");
        let paths = files(Path::new(dir)).into_iter().filter(rust);
        paths.map(|path| Self::of(&path, &fs::read_to_string(&path).unwrap())).collect()
    }

    /// Whether it holds unit tests only: a `tests.rs` beside a `mod.rs`.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs")
    }

    /// The top module it belongs to: `settings` for `src/settings/store.rs`.
    pub(crate) fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or_default()
    }

    /// How many `super::` lead from it to the crate's root.
    pub(crate) fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.trim_end_matches(".rs").trim_end_matches("/mod").split('/').count()
    }

    /// Every stretch of tokens in which one may follow another: the file's, and that of each group.
    pub(crate) fn levels(&self) -> Vec<Vec<TokenTree>> {
        levels(self.tokens.clone())
    }

    /// The same with unit tests.
    pub(crate) fn levels_with_tests(&self) -> Vec<Vec<TokenTree>> {
        levels(self.all_tokens.clone())
    }

    /// Whether a path `a::b` ends in one of `names`, alone or in a group: `env::var`,
    /// `env::{self, vars}`.
    pub(crate) fn names_in(&self, parent: &str, names: &[&str]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for level in self.levels() {
            for at in 0..level.len() {
                if is(&level[at], parent) && path_follows(&level, at) {
                    found.extend(heads(level.get(at + 3)));
                }
            }
        }
        found.retain(|name| names.contains(&name.as_str()));
        found
    }

    /// Whether the word stands anywhere.
    pub(crate) fn speaks_of(&self, word: &str) -> bool {
        self.levels().iter().flatten().any(|token| is(token, word))
    }

    /// The modules named in paths that begin at the crate's root: `crate::a`, `crate::{a, b}`, and as
    /// many `super::` as lead there.
    pub(crate) fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for level in self.levels() {
            let mut supers = 0;
            for at in 0..level.len() {
                let word = &level[at];
                supers = match () {
                    () if is(word, "super") => supers + 1,
                    () if is_punct(word, ':') => supers,
                    () => 0,
                };
                let root = is(word, "crate") || (is(word, "super") && supers == self.depth());
                if root && path_follows(&level, at) {
                    found.extend(heads(level.get(at + 3)));
                }
            }
        }
        found
    }

    /// The name of each function and its lines, from `fn` to the closing brace.
    pub(crate) fn functions(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        for level in self.levels() {
            for at in 0..level.len().saturating_sub(1) {
                let (true, TokenTree::Ident(name)) = (is(&level[at], "fn"), &level[at + 1]) else {
                    continue;
                };
                let body = level[at..].iter().take_while(|it| !is_punct(it, ';'));
                let body = body.filter_map(group).find(|it| it.delimiter() == Delimiter::Brace);
                let Some(body) = body else { continue };
                let lines = body.span_close().end().line - level[at].span().start().line + 1;
                found.push((name.to_string(), lines));
            }
        }
        found
    }

    /// What is given a name here, with the keyword that does: `("struct", "Snapshot")`.
    pub(crate) fn definitions(&self) -> Vec<(String, String)> {
        const KEYWORDS: [&str; 6] = ["fn", "struct", "enum", "trait", "type", "mod"];
        let pairs = |level: Vec<TokenTree>| {
            let pair = |two: &[TokenTree]| match two {
                [TokenTree::Ident(keyword), TokenTree::Ident(name)] => {
                    Some((keyword.to_string(), name.to_string()))
                }
                _ => None,
            };
            level.windows(2).filter_map(pair).collect::<Vec<_>>()
        };
        let all = self.levels().into_iter().flat_map(pairs);
        all.filter(|(keyword, _)| KEYWORDS.contains(&keyword.as_str())).collect()
    }
}

fn levels(tokens: Vec<TokenTree>) -> Vec<Vec<TokenTree>> {
    let mut levels = vec![tokens];
    let mut next = 0;
    while let Some(level) = levels.get(next) {
        let groups: Vec<Vec<TokenTree>> = level.iter().filter_map(group).map(inner).collect();
        levels.extend(groups);
        next += 1;
    }
    levels
}

/// Every file below `dir`, sorted.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// The tokens without the items under `#[cfg(test)]`, and the lines of those.
fn without_tests(tokens: TokenStream) -> (Vec<TokenTree>, Vec<RangeInclusive<usize>>) {
    let mut kept = Vec::new();
    let mut lines = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let test = is_punct(&token, '#')
            && tokens.peek().and_then(group).is_some_and(|it| it.to_string() == "[cfg (test)]");
        if !test {
            kept.push(token);
            continue;
        }
        for skipped in tokens.by_ref() {
            let body = group(&skipped).filter(|it| it.delimiter() == Delimiter::Brace);
            if body.is_some() || is_punct(&skipped, ';') {
                lines.push(token.span().start().line..=skipped.span().end().line);
                break;
            }
        }
    }
    (kept, lines)
}

/// The first word of a path, or of each path in a `{…}` group.
fn heads(token: Option<&TokenTree>) -> Vec<String> {
    match token {
        Some(TokenTree::Ident(name)) => vec![name.to_string()],
        Some(TokenTree::Punct(star)) => vec![star.to_string()],
        Some(TokenTree::Group(group)) => {
            let items = inner(group);
            let items = items.split(|it| is_punct(it, ','));
            items.flat_map(|item| heads(item.first())).collect()
        }
        _ => Vec::new(),
    }
}

fn path_follows(level: &[TokenTree], at: usize) -> bool {
    level.get(at + 1..at + 3).is_some_and(|two| two.iter().all(|it| is_punct(it, ':')))
}

fn group(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    }
}

pub(crate) fn inner(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

pub(crate) fn is(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

pub(crate) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}
