//! JSON as it was sent: members in order, numbers with their own digits, every fault named.
//!
//! `serde_json`'s own types lose what must be refused here: of duplicate members the last one wins,
//! and a number becomes the nearest float. So one level is read at a time, each part as raw text.

pub(crate) mod field_error;

use std::{
    collections::HashSet,
    fmt,
    str::{self, FromStr as _},
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::{Error as _, SerializeMap as _},
};
use serde_json::{error::Category, value::RawValue};

use crate::text;

pub use field_error::{FieldError, FieldErrors};

/// How deep arrays and objects may stand in each other.
const DEPTH: usize = 16;

/// A JSON value whose every member name is unique and every text can be shown and stored.
#[derive(Debug, Clone, PartialEq)]
pub enum StrictJson {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in the digits it was sent in; it fits a float without overflow.
    Number(String),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<StrictJson>),
    /// Members in the order they were sent.
    Object(Vec<(String, StrictJson)>),
}

impl StrictJson {
    /// Reads `bytes`. A syntax error ends the reading; everything else that is wrong is collected.
    pub fn parse(bytes: &[u8]) -> Result<Self, FieldErrors> {
        let text = str::from_utf8(bytes).map_err(|err| {
            invalid(String::new(), format!("not UTF-8 from byte {} on", err.valid_up_to()))
        })?;
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|err| invalid(String::new(), syntax(&err)))?;
        let mut reading = Reading::default();
        let json = reading.value(raw);
        if reading.faults.is_empty() { Ok(json) } else { Err(reading.faults) }
    }

    /// Bytes of its texts, names and numbers, and a few for each part: what going through it costs.
    #[must_use]
    pub fn size(&self) -> usize {
        const PART: usize = 8;
        let inner = match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Number(text) | Self::String(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::size).sum(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| name.len() + value.size()).sum()
            }
        };
        PART + inner
    }

    /// What it is, with its article, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl Serialize for StrictJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(it) => serializer.serialize_bool(*it),
            Self::Number(text) => {
                RawValue::from_string(text.clone()).map_err(S::Error::custom)?.serialize(serializer)
            }
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => items.serialize(serializer),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// The integer that the JSON number `text` is, however it is written (`30`, `30.0`, `3e1`); `None` for
/// a fraction and for what an `i64` cannot hold. No float is involved, so no digit is lost.
#[must_use]
pub fn integral(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if significant.trim_start_matches('0').is_empty() {
        return Some(0);
    }
    let trailing = digits.len() - significant.len();
    let zeros = i64::from_str(exponent)
        .ok()?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(i64::try_from(trailing).ok()?)?;
    // An `i64` has 19 digits, so more zeros than that cannot fit and need not be written out.
    let zeros = usize::try_from(zeros).ok().filter(|it| *it < 20)?;
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
}

fn invalid(pointer: String, detail: String) -> FieldError {
    FieldError::at(pointer, "invalid_json", detail)
}

enum Step {
    Name(String),
    Index(usize),
}

/// What is wrong with the syntax, in our own words: the library's may change with a release of it.
fn syntax(err: &serde_json::Error) -> String {
    let words = err.to_string();
    let what = match err.classify() {
        Category::Eof => "the JSON ends too early",
        _ if words.starts_with("trailing characters") => "text follows the end of the JSON",
        _ if words.starts_with("recursion limit") => "values are nested too deep",
        _ => "the text is not valid JSON",
    };
    format!("{what} at line {} column {}", err.line(), err.column())
}

/// Where the reading is, and what it found.
#[derive(Default)]
struct Reading {
    path: Vec<Step>,
    faults: FieldErrors,
}

impl Reading {
    fn fault(&mut self, code: &'static str, detail: impl Into<String>) {
        let mut pointer = String::new();
        for step in &self.path {
            match step {
                Step::Name(name) => field_error::step_into(&mut pointer, name),
                Step::Index(index) => pointer = field_error::item(&pointer, *index),
            }
        }
        self.faults.push(FieldError::at(pointer, code, detail));
    }

    /// The value of `raw`; something harmless in its place where it is faulty.
    fn value(&mut self, raw: &RawValue) -> StrictJson {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') if self.has_room() => self.object(text),
            Some(b'[') if self.has_room() => self.array(text),
            Some(b'{' | b'[' | b'n') => StrictJson::Null,
            Some(b't') => StrictJson::Bool(true),
            Some(b'f') => StrictJson::Bool(false),
            Some(b'"') => self.string(text),
            _ => self.number(text),
        }
    }

    fn has_room(&mut self) -> bool {
        let fits = self.path.len() < DEPTH;
        if !fits {
            self.fault("too_deep", format!("nested more than {DEPTH} deep"));
        }
        fits
    }

    fn object(&mut self, text: &str) -> StrictJson {
        let Ok(Entries(entries)) = serde_json::from_str::<Entries<'_>>(text) else {
            // The text as a whole was well-formed, so only an escape in a name can be the matter.
            self.fault("invalid_json", "a member's name holds half of a surrogate pair");
            return StrictJson::Null;
        };
        let mut seen = HashSet::new();
        let mut members = Vec::with_capacity(entries.len());
        for (name, raw) in entries {
            let again = !seen.insert(name.clone());
            self.path.push(Step::Name(name.clone()));
            if again {
                self.fault("duplicate_key", "the same name stands twice in this object");
            }
            self.characters(&name, "the name");
            let value = self.value(raw);
            self.path.pop();
            members.push((name, value));
        }
        StrictJson::Object(members)
    }

    fn array(&mut self, text: &str) -> StrictJson {
        let Ok(raws) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            self.fault("invalid_json", "not an array");
            return StrictJson::Null;
        };
        let mut items = Vec::with_capacity(raws.len());
        for (index, raw) in raws.into_iter().enumerate() {
            self.path.push(Step::Index(index));
            items.push(self.value(raw));
            self.path.pop();
        }
        StrictJson::Array(items)
    }

    fn string(&mut self, text: &str) -> StrictJson {
        let Ok(string) = serde_json::from_str::<String>(text) else {
            self.fault("forbidden_character", "the text holds half of a surrogate pair");
            return StrictJson::Null;
        };
        self.characters(&string, "the text");
        StrictJson::String(string)
    }

    fn characters(&mut self, text: &str, what: &str) {
        if let Err(character) = text::check(text) {
            self.fault("forbidden_character", format!("{what} must not contain {character}"));
        }
    }

    fn number(&mut self, text: &str) -> StrictJson {
        let value = f64::from_str(text).unwrap_or(f64::INFINITY);
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        if value.is_infinite() {
            self.fault("number_overflow", "the number is too large to be held");
        } else if value == 0.0 && mantissa.contains(|c| matches!(c, '1'..='9')) {
            self.fault("number_overflow", "the number is too small to be told from 0");
        }
        StrictJson::Number(text.to_owned())
    }
}

/// The members of one object, duplicates included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, &'static str)> {
        let Err(faults) = StrictJson::parse(text.as_bytes()) else { panic!("taken: {text}") };
        faults.reported().iter().map(|it| (it.pointer.clone().unwrap(), it.code)).collect()
    }

    fn one(text: &str, pointer: &str, code: &'static str) {
        assert_eq!(faults(text), [(pointer.to_owned(), code)], "{text}");
    }

    #[test]
    fn a_number_keeps_its_digits_and_members_their_order() {
        let text =
            r#"{"b":18446744073709551616,"a":[1.0,-0,1e2,null,true,"é\n"]}"#.replace("\\n", "");
        let json = StrictJson::parse(text.as_bytes()).unwrap();
        let StrictJson::Object(members) = &json else { panic!() };
        assert_eq!(members[0], ("b".into(), StrictJson::Number("18446744073709551616".into())));
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        one(r#"{"a":1,"a":2}"#, "/a", "duplicate_key");
        one(r#"{"a":[{"x":1,"\u0078":2}]}"#, "/a/0/x", "duplicate_key");
        one(r#"{"a":"x\u0000y"}"#, "/a", "forbidden_character");
        one(r#"["\ud800"]"#, "/0", "forbidden_character");
        one(r#"["\ud800\ud800"]"#, "/0", "forbidden_character");
        one(r#"{"\udc00":1}"#, "", "invalid_json");
        one("[\"\u{202E}\"]", "/0", "forbidden_character");
        one("[\"\u{FFFF}\"]", "/0", "forbidden_character");
        one("[\"\u{7F}\"]", "/0", "forbidden_character");
        one("{\"\u{FEFF}a\":1}", "/\u{FFFD}a", "forbidden_character");
        one("[1e400]", "/0", "number_overflow");
        one("[-1e99999999999999999999]", "/0", "number_overflow");
        one("[1e-400]", "/0", "number_overflow");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{\"a\"}",
            "01",
            "NaN",
            "'a'",
            "1 2",
            "[\"a\nb\"]",
            "\u{FEFF}{}",
            "// x",
        ] {
            one(text, "", "invalid_json");
        }
        let Err(faults) = StrictJson::parse(b"{\n  \"a\": x}") else { panic!() };
        assert!(faults.reported()[0].detail.contains("line 2 column 8"), "{faults:?}");
        let Err(faults) = StrictJson::parse(b"[\"\xff\"]") else { panic!() };
        assert_eq!(faults.reported()[0].detail, "not UTF-8 from byte 2 on");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(faults(r#"{"a":"\u0000","b":[1e400,{"c":1,"c":2}],"a":3}"#).len(), 4);
    }

    #[test]
    fn sixteen_levels_are_taken_and_seventeen_are_not() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(StrictJson::parse(nested(16).as_bytes()).is_ok());
        one(&nested(17), &"/0".repeat(16), "too_deep");
        one(&nested(200), &"/0".repeat(16), "too_deep");
        one(&nested(200_000), &"/0".repeat(16), "too_deep");
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (text, value) in [
            ("30", 30),
            ("30.0", 30),
            ("3e1", 30),
            ("3E+1", 30),
            ("300e-1", 30),
            ("0.3e2", 30),
            ("-30.00", -30),
            ("0", 0),
            ("-0", 0),
            ("9e18", 9_000_000_000_000_000_000),
            ("0e999999999999999999999", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("1000000000000000000000e-20", 10),
        ] {
            assert_eq!(integral(text), Some(value), "{text}");
        }
        for text in [
            "30.5",
            "3e-1",
            "9223372036854775808",
            "1e19",
            "1e400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1180591620717411303424",
        ] {
            assert_eq!(integral(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let ours = StrictJson::parse(&bytes);
            let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
            // Stricter than serde_json, never laxer.
            assert!(theirs.is_ok() || ours.is_err());
        }

        #[test]
        fn an_integral_number_agrees_with_exact_arithmetic(n in -1_000_000i64..1_000_000, e in 0u32..6) {
            assert_eq!(integral(&format!("{n}e{e}")), Some(n * 10i64.pow(e)));
            assert_eq!(integral(&format!("{n}.000")), Some(n));
            assert_eq!(integral(&format!("{n}e-{e}")), (n % 10i64.pow(e) == 0).then(|| n / 10i64.pow(e)));
        }
    }
}
