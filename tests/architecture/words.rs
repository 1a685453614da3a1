//! The law of identifiers: none has a word of the old private dialect (`docs/glossary.md` has its successor), and
//! no binding is named by a pronoun or a bare participle.

use std::collections::BTreeSet;

use crate::{
    language::{EMPTY_NAMES, bindings, closure_parameters},
    laws::split,
    source::Source,
};

/// Words that the glossary replaced.
const OLD_WORDS: [&str; 25] = [
    "told",
    "tells",
    "telling",
    "whoever",
    "whatever",
    "whom",
    "those",
    "spelt",
    "spell",
    "buried",
    "bury",
    "accuse",
    "firewall",
    "disguise",
    "unfit",
    "likeness",
    "conclude",
    "firewalls",
    "sound",
    "unheard",
    "anew",
    "lean",
    "haste",
    "beat",
    "standing",
];

/// Names the identifiers of `source` that break the law.
pub(crate) fn old_words(source: &Source) -> Vec<String> {
    let levels = source.levels_with_tests();
    let mut wrong = BTreeSet::new();
    for (keyword, name) in source.definitions() {
        for word in split(&name).iter().filter(|word| OLD_WORDS.contains(&word.as_str())) {
            wrong.insert(format!(
                "{keyword} `{name}` has the word `{word}`, which docs/glossary.md replaces"
            ));
        }
    }
    for name in bindings(&levels).into_iter().chain(closure_parameters(&levels)) {
        if EMPTY_NAMES.contains(&name.as_str()) {
            wrong.insert(format!("the name `{name}` says nothing of its value: use a noun"));
        }
    }
    wrong.into_iter().collect()
}

#[test]
fn a_word_of_the_old_dialect_is_found() {
    let found = |text: &str| old_words(&Source::of("src/a.rs", text)).len();
    for text in [
        "struct Told;",
        "fn spelt_out() {}",
        "fn f() { let told = g(); }",
        "fn f() { g(|it| it.h()) }",
        "fn f() { g(|(_, found)| found) }",
    ] {
        assert_eq!(found(text), 1, "{text}");
    }
    for text in ["struct Toll;", "fn f() { let text = g(); }", "fn f() { a | it | b }", "// told"] {
        assert_eq!(found(text), 0, "{text}");
    }
}
