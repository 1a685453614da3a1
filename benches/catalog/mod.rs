//! A catalog as large as one likes.

use std::fmt::Write as _;

use brune::settings::Catalog;

/// The key of the `n`th setting of [`generated`].
pub(crate) fn key(n: usize) -> String {
    format!("BENCH_SETTING_{n:05}")
}

/// A catalog of `count` settings: the types take turns, whole numbers first.
pub(crate) fn generated(count: usize) -> Catalog {
    Catalog::parse(&text(count)).unwrap()
}

/// The same as the text of its file.
pub(crate) fn text(count: usize) -> String {
    let mut text = "catalog = \"bench\"\ndescription = \"Made for measuring.\"\n".to_owned();
    for n in 0..count {
        let (kind, default, constraints) = match n % 4 {
            0 => ("number", "30", "integer = true, min = 0, max = 240"),
            1 => ("string", "\"some text\"", "max_length = 128, regex = '^[a-z ]+$'"),
            2 => ("boolean", "true", ""),
            _ => ("string_array", "[\"one\", \"two\"]", "max_items = 20, unique = true"),
        };
        let written = write!(
            text,
            "[[setting]]\nkey = \"{}\"\ncategory = \"bench\"\ntype = \"{kind}\"\ndefault = {default}\n\
             applies = \"hot\"\ndescription = \"Number {n}.\"\nconstraints = {{ {constraints} }}\n",
            key(n)
        );
        written.unwrap();
    }
    text
}
