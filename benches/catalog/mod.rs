//! Generated catalogs of any size.

use std::fmt::Write as _;

use brune::settings::Catalog;

/// Returns the key of the setting with number `n`, from 0.
pub(crate) fn key(n: usize) -> String {
    format!("BENCH_SETTING_{n:05}")
}

/// Returns a catalog of `count` settings; the types alternate, beginning with an integer.
pub(crate) fn generated(count: usize) -> Catalog {
    Catalog::parse(&text(count)).unwrap()
}

/// Returns the text of the file of [`generated`].
pub(crate) fn text(count: usize) -> String {
    let mut text = "catalog = \"bench\"\ndescription = \"Generated for a benchmark.\"\n".to_owned();
    for n in 0..count {
        let (kind, default, constraints) = match n % 4 {
            0 => ("number", "30", "integer = true, min = 0, max = 240"),
            1 => ("string", "\"some text\"", "max_length = 128, regex = '^[a-z ]+$'"),
            2 => ("boolean", "true", ""),
            _ => ("string_array", "[\"one\", \"two\"]", "max_items = 20, unique = true"),
        };
        let result = write!(
            text,
            "[[setting]]\nkey = \"{}\"\ncategory = \"bench\"\ntype = \"{kind}\"\ndefault = {default}\n\
             applies = \"hot\"\ndescription = \"Number {n}.\"\nconstraints = {{ {constraints} }}\n",
            key(n)
        );
        result.unwrap();
    }
    text
}
