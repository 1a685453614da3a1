//! What is written is what is read, whatever it is.

use std::collections::BTreeMap;

use chrono::DateTime;
use proptest::prelude::*;

use super::{Document, Format, Incoming, Raw};
use crate::{
    settings::{
        publish::from_text,
        value::{Number, SettingValue, ValueType},
    },
    text::forbidden,
};

/// Texts that one reader or another takes for something else.
const ODD: [&str; 32] = [
    "",
    " ",
    "no",
    "yes",
    "off",
    "y",
    "true",
    "True",
    "null",
    "Null",
    "~",
    "1.10",
    "007",
    "0x1F",
    "1_000",
    "1e3",
    ".5",
    ".inf",
    "-",
    "---",
    "...",
    "- a",
    "a: b",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "{}",
    "[]",
    "2026-11-22",
    "<<",
];

fn text() -> impl Strategy<Value = String> {
    let special = "\"'$#=\\ `:,{}[]&*!|>%@?-~\u{A0}é漢👩\u{200D}".chars().collect::<Vec<_>>();
    let char = prop_oneof![
        3 => prop::sample::select(special),
        1 => any::<char>().prop_filter("what no setting holds", |c| forbidden(*c).is_none()),
        2 => prop::char::range('a', 'z'),
    ];
    let any = prop::collection::vec(char, 0..24).prop_map(|it| it.into_iter().collect());
    prop_oneof![1 => prop::sample::select(&ODD[..]).prop_map(str::to_owned), 3 => any]
}

fn number() -> impl Strategy<Value = Number> {
    let whole = -Number::MAX_INTEGER..=Number::MAX_INTEGER;
    let parsed = |it: f64| Number::parse(&it.to_string());
    prop_oneof![
        whole.prop_map(Number::Integer),
        prop::num::f64::NORMAL.prop_filter_map("not kept digit for digit", parsed),
        (-1e6..1e6).prop_filter_map("not kept digit for digit", parsed),
    ]
}

fn value() -> impl Strategy<Value = SettingValue> {
    prop_oneof![
        3 => text().prop_map(SettingValue::String),
        1 => number().prop_map(SettingValue::Number),
        1 => any::<bool>().prop_map(SettingValue::Boolean),
        2 => prop::collection::vec(text(), 0..6).prop_map(SettingValue::StringArray),
    ]
}

fn settings() -> impl Strategy<Value = BTreeMap<String, SettingValue>> {
    let names = prop_oneof![
        "[A-Z][A-Z0-9_]{0,20}",
        prop::sample::select(vec!["NO", "Y", "NULL", "TRUE", "ON"]).prop_map(str::to_owned)
    ];
    prop::collection::btree_map(names, value(), 0..8)
}

/// The value of `raw` for a key of this type.
fn taken(raw: &Raw, value_type: ValueType) -> SettingValue {
    let json = match raw {
        Raw::Json(json) => json.clone(),
        Raw::Text(text) => from_text(value_type, text),
    };
    SettingValue::parse(value_type, &json).unwrap()
}

fn holds(format: Format, settings: &BTreeMap<String, SettingValue>) {
    let document = Document::new(
        "brun-e".to_owned(),
        7,
        settings.clone(),
        "a machine's name".to_owned(),
        DateTime::UNIX_EPOCH,
    );
    let text = document.write(format).unwrap();
    let read =
        Incoming::read(format, text.as_bytes()).unwrap_or_else(|it| panic!("{it:?}\n{text}"));
    assert_eq!((read.revision, read.catalog.as_deref()), (Some(7), Some("brun-e")));
    let back = read.entries.iter().map(|(key, raw)| {
        let written = settings.get(key).unwrap();
        (key.clone(), taken(raw, written.value_type()))
    });
    assert_eq!(&back.collect::<BTreeMap<_, _>>(), settings, "{text}");
}

proptest! {
    // What it finds becomes a test of its own instead of a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn json_is_read_as_it_was_written(settings in settings()) {
        holds(Format::Json, &settings);
    }

    #[test]
    fn yaml_is_read_as_it_was_written(settings in settings()) {
        holds(Format::Yaml, &settings);
    }

    #[test]
    fn lines_are_read_as_they_were_written(settings in settings()) {
        holds(Format::Env, &settings);
    }
}

#[test]
fn every_odd_text_comes_back_in_every_format() {
    let settings = ODD
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("K{at}"), SettingValue::String((*text).to_owned())));
    let settings = settings.collect();
    for format in [Format::Json, Format::Yaml, Format::Env] {
        holds(format, &settings);
    }
}
