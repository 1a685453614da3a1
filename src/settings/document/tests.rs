//! Round trips of documents in every format.

use std::collections::BTreeMap;

use chrono::DateTime;
use proptest::prelude::*;

use super::{Document, Format, IncomingDocument};
use crate::{
    json::StrictJson,
    settings::{
        text::from_text,
        value::{Number, SettingValue, ValueType},
    },
    text::forbidden,
};

/// Strings that some YAML or dotenv parsers read as other values.
const AMBIGUOUS: [&str; 32] = [
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
        1 => any::<char>().prop_filter("forbidden in settings", |c| forbidden(*c).is_none()),
        2 => prop::char::range('a', 'z'),
    ];
    let any = prop::collection::vec(char, 0..24).prop_map(|chars| chars.into_iter().collect());
    prop_oneof![1 => prop::sample::select(&AMBIGUOUS[..]).prop_map(str::to_owned), 3 => any]
}

fn number() -> impl Strategy<Value = Number> {
    let integers = -Number::MAX_INTEGER..=Number::MAX_INTEGER;
    let parsed = |float: f64| Number::parse(&float.to_string());
    prop_oneof![
        integers.prop_map(Number::Integer),
        prop::num::f64::NORMAL.prop_filter_map("not exact as a double", parsed),
        (-1e6..1e6).prop_filter_map("not exact as a double", parsed),
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

/// Converts an imported value to the declared type.
fn typed(value: &StrictJson, is_untyped: bool, value_type: ValueType) -> SettingValue {
    match value {
        StrictJson::String(text) if is_untyped => {
            SettingValue::parse(value_type, &from_text(value_type, text)).unwrap()
        }
        json => SettingValue::parse(value_type, json).unwrap(),
    }
}

fn assert_round_trip(format: Format, settings: &BTreeMap<String, SettingValue>) {
    let document = Document::new(
        "brun-e".to_owned(),
        7,
        settings.clone(),
        "a machine's name".to_owned(),
        DateTime::UNIX_EPOCH,
    );
    let text = document.write(format).unwrap();
    let read = IncomingDocument::read(format, text.as_bytes())
        .unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    assert_eq!((read.revision, read.catalog.as_deref()), (Some(7), Some("brun-e")));
    let back = read.edits.iter().map(|edit| {
        let exported = settings.get(&edit.key).unwrap();
        (edit.key.clone(), typed(&edit.value, read.is_untyped, exported.value_type()))
    });
    assert_eq!(&back.collect::<BTreeMap<_, _>>(), settings, "{text}");
}

proptest! {
    // No regression files: a failing case becomes a separate test.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn json_round_trips(settings in settings()) {
        assert_round_trip(Format::Json, &settings);
    }

    #[test]
    fn yaml_round_trips(settings in settings()) {
        assert_round_trip(Format::Yaml, &settings);
    }

    #[test]
    fn env_lines_round_trip(settings in settings()) {
        assert_round_trip(Format::Env, &settings);
    }
}

#[test]
fn ambiguous_strings_round_trip_in_every_format() {
    let settings = AMBIGUOUS
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("K{at}"), SettingValue::String((*text).to_owned())));
    let settings = settings.collect();
    for format in [Format::Json, Format::Yaml, Format::Env] {
        assert_round_trip(format, &settings);
    }
}
