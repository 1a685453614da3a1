//! The lists of variables: `.env.example`, `config/variables.rs`, the code that reads them, and the catalog.

use std::{collections::BTreeSet, fs};

use crate::source::Source;

#[test]
fn the_example_names_every_variable_and_no_other() {
    let example = fs::read_to_string(".env.example").unwrap();
    let (named, offered) = (variables_in(&example), offered(&example));
    let (read, declared) = (variables_read(), declared());
    assert!(read.contains("BRUNE_LISTEN") && declared.contains("LOG_LEVEL"), "nothing was found");
    let known: BTreeSet<_> = read.union(&declared).cloned().collect();
    let unnamed: Vec<_> = known.difference(&named).collect();
    assert!(unnamed.is_empty(), "not in .env.example: {unnamed:?}");
    let unoffered: Vec<_> = declared.difference(&offered).collect();
    assert!(unoffered.is_empty(), "no line of their own in .env.example: {unoffered:?}");
    let unknown: Vec<_> = offered.difference(&known).collect();
    assert!(unknown.is_empty(), "in .env.example, but nobody reads or declares: {unknown:?}");
}

#[test]
fn the_list_of_variables_has_each_that_is_read_and_no_other() {
    let listed: BTreeSet<_> =
        brune::config::VARIABLES.iter().map(|it| it.name.to_owned()).collect();
    let is_the_drivers = |name: &String| name.starts_with("PG");
    let read: BTreeSet<_> = variables_read().into_iter().filter(|it| !is_the_drivers(it)).collect();
    // The file beside a secret's variable is derived from its name.
    let read: BTreeSet<_> = read.into_iter().filter(|it| !it.ends_with("_FILE")).collect();
    let unlisted: Vec<_> = read.difference(&listed).collect();
    assert!(unlisted.is_empty(), "read and not listed in config/variables.rs: {unlisted:?}");
    let unread: Vec<_> = listed.difference(&read).collect();
    assert!(unread.is_empty(), "listed in config/variables.rs and not read: {unread:?}");
}

fn is_variable(word: &str) -> bool {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let whole = word.len() > 3 && !word.ends_with('_');
    whole && word.starts_with(|c: char| c.is_ascii_uppercase()) && word.bytes().all(fits)
}

/// Every word of `text` that looks like a variable.
fn variables_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|it| is_variable(it)).map(str::to_owned).collect()
}

/// The variables with a line of their own: `#KEY=…`.
fn offered(example: &str) -> BTreeSet<String> {
    let lines = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    lines.map(|(key, _)| key).filter(|key| is_variable(key)).map(str::to_owned).collect()
}

/// The texts in `config/` that are names of variables.
fn variables_read() -> BTreeSet<String> {
    let is_reader = |it: &Source| !it.is_test() && it.path != "src/config/variables.rs";
    let sources = Source::all("src/config").into_iter().filter(is_reader);
    let tokens = sources.flat_map(|source| source.levels()).flatten();
    let texts = tokens
        .filter_map(|it| it.to_string().strip_prefix('"')?.strip_suffix('"').map(str::to_owned));
    texts.filter(|text| is_variable(text)).collect()
}

/// The keys of the built-in catalog.
fn declared() -> BTreeSet<String> {
    let catalog: toml::Table = fs::read_to_string("config/brun-e.toml").unwrap().parse().unwrap();
    let entries = ["setting", "secret", "environment"].into_iter().flat_map(|kind| {
        catalog[kind].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap().to_owned())
    });
    let all: Vec<_> = entries.collect();
    let keys: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(keys.len(), all.len(), "a key is declared twice");
    keys
}
