//! A strict JSON reader: members in order, numbers with all digits, every error with a pointer.
//!
//! `serde_json::Value` accepts input that must be rejected: of duplicate members the last wins, and a number
//! becomes the nearest float. The reader therefore parses one level at a time and keeps each part as raw text.

mod decimal;
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

pub use decimal::{Decimal, integral};
pub use field_error::{FieldError, FieldErrors};

/// Maximum nesting of arrays and objects.
const MAX_DEPTH: usize = 16;

/// A JSON value with unique member names and without forbidden characters.
#[derive(Debug, Clone, PartialEq)]
pub enum StrictJson {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// The original text of a number, which fits a float without overflow.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<StrictJson>),
    /// An object, members in original order.
    Object(Vec<(String, StrictJson)>),
}

impl StrictJson {
    /// Parses `bytes`.
    ///
    /// # Errors
    /// The syntax error, or all other errors of the document.
    pub fn parse(bytes: &[u8]) -> Result<Self, FieldErrors> {
        let text = str::from_utf8(bytes).map_err(|err| {
            invalid(String::new(), format!("not UTF-8 from byte {} on", err.valid_up_to()))
        })?;
        // The syntax of the whole document first: all later errors can be collected.
        let raw: &RawValue =
            serde_json::from_str(text).map_err(|err| invalid(String::new(), syntax(&err)))?;
        let mut parser = Parser::default();
        let json = parser.value(raw);
        if parser.errors.is_empty() { Ok(json) } else { Err(parser.errors) }
    }

    /// Returns the approximate size in bytes, as an estimate of the cost of a traversal.
    #[must_use]
    pub fn size(&self) -> usize {
        // Structure costs time too, even without text.
        const VALUE_OVERHEAD: usize = 8;
        let content = match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Number(text) | Self::String(text) => text.len(),
            Self::Array(items) => items.iter().map(Self::size).sum(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| name.len() + value.size()).sum()
            }
        };
        VALUE_OVERHEAD + content
    }

    /// Returns the kind of value with an article, for messages.
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
            Self::Bool(boolean) => serializer.serialize_bool(*boolean),
            Self::Number(text) => {
                // Raw, so that the digits remain as received.
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

fn invalid(pointer: String, detail: String) -> FieldError {
    FieldError::at(pointer, "invalid_json", detail)
}

enum PathSegment {
    Name(String),
    Index(usize),
}

impl From<&serde_json::Value> for StrictJson {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(boolean) => Self::Bool(*boolean),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::String(text.clone()),
            Value::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(
                members.iter().map(|(name, value)| (name.clone(), Self::from(value))).collect(),
            ),
        }
    }
}

/// Describes a syntax error in fixed words, because the library's messages may change between releases.
fn syntax(err: &serde_json::Error) -> String {
    // serde_json has no structured kind for two of these errors.
    let library_message = err.to_string();
    let problem = match err.classify() {
        Category::Eof => "unexpected end of JSON",
        _ if library_message.starts_with("trailing characters") => {
            "unexpected text after the JSON value"
        }
        _ if library_message.starts_with("recursion limit") => "values are nested too deeply",
        _ => "invalid JSON",
    };
    format!("{problem} at line {} column {}", err.line(), err.column())
}

/// The parser's state: the current path and the errors so far.
#[derive(Default)]
struct Parser {
    path: Vec<PathSegment>,
    errors: FieldErrors,
}

impl Parser {
    fn error(&mut self, code: &'static str, detail: impl Into<String>) {
        let mut pointer = String::new();
        for segment in &self.path {
            match segment {
                PathSegment::Name(name) => field_error::step_into(&mut pointer, name),
                PathSegment::Index(index) => pointer = field_error::item(&pointer, *index),
            }
        }
        self.errors.push(FieldError::at(pointer, code, detail));
    }

    /// Parses `raw`. Returns a placeholder for an invalid value, whose error is recorded.
    fn value(&mut self, raw: &RawValue) -> StrictJson {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') if self.is_within_max_depth() => self.object(text),
            Some(b'[') if self.is_within_max_depth() => self.array(text),
            Some(b'{' | b'[' | b'n') => StrictJson::Null,
            Some(b't') => StrictJson::Bool(true),
            Some(b'f') => StrictJson::Bool(false),
            Some(b'"') => self.string(text),
            _ => self.number(text),
        }
    }

    fn is_within_max_depth(&mut self) -> bool {
        let is_within = self.path.len() < MAX_DEPTH;
        if !is_within {
            self.error("too_deep", format!("must be nested at most {MAX_DEPTH} levels deep"));
        }
        is_within
    }

    fn object(&mut self, text: &str) -> StrictJson {
        let Ok(Entries(entries)) = serde_json::from_str::<Entries<'_>>(text) else {
            // The whole text was well-formed, so only an escape in a name can be invalid.
            self.error("invalid_json", "a member name contains an unpaired surrogate");
            return StrictJson::Null;
        };
        let mut names = HashSet::new();
        let mut members = Vec::with_capacity(entries.len());
        for (name, raw) in entries {
            // Compared after unescaping: `a` and `\u0061` are the same name.
            let is_duplicate = !names.insert(name.clone());
            self.path.push(PathSegment::Name(name.clone()));
            if is_duplicate {
                self.error("duplicate_key", "duplicate member name");
            }
            // Names appear in pointers, so the same rules apply.
            self.check_characters(&name, "the name");
            let value = self.value(raw);
            self.path.pop();
            members.push((name, value));
        }
        StrictJson::Object(members)
    }

    fn array(&mut self, text: &str) -> StrictJson {
        let Ok(raws) = serde_json::from_str::<Vec<&RawValue>>(text) else {
            self.error("invalid_json", "not an array");
            return StrictJson::Null;
        };
        let mut items = Vec::with_capacity(raws.len());
        for (index, raw) in raws.into_iter().enumerate() {
            self.path.push(PathSegment::Index(index));
            items.push(self.value(raw));
            self.path.pop();
        }
        StrictJson::Array(items)
    }

    fn string(&mut self, text: &str) -> StrictJson {
        let Ok(string) = serde_json::from_str::<String>(text) else {
            self.error("forbidden_character", "the string contains an unpaired surrogate");
            return StrictJson::Null;
        };
        self.check_characters(&string, "the string");
        StrictJson::String(string)
    }

    fn check_characters(&mut self, text: &str, subject: &str) {
        if let Err(character) = text::check(text) {
            self.error("forbidden_character", format!("{subject} must not contain {character}"));
        }
    }

    fn number(&mut self, text: &str) -> StrictJson {
        // Other JSON parsers read numbers as doubles: overflow and underflow would change the value.
        let value = f64::from_str(text).unwrap_or(f64::INFINITY);
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        if value.is_infinite() {
            self.error("number_overflow", "the number is too large for a 64-bit float");
        } else if value == 0.0 && mantissa.contains(|c| matches!(c, '1'..='9')) {
            self.error("number_overflow", "the number is too small for a 64-bit float");
        }
        StrictJson::Number(text.to_owned())
    }
}

/// The members of an object, duplicates included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor, because a map type would drop duplicate members.
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

    fn errors(text: &str) -> Vec<(String, &'static str)> {
        let Err(errors) = StrictJson::parse(text.as_bytes()) else { panic!("parsed: {text}") };
        errors.reported().iter().map(|error| (error.pointer.clone().unwrap(), error.code)).collect()
    }

    fn assert_single_error(text: &str, pointer: &str, code: &'static str) {
        assert_eq!(errors(text), [(pointer.to_owned(), code)], "{text}");
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
    fn each_error_has_a_pointer() {
        assert_single_error(r#"{"a":1,"a":2}"#, "/a", "duplicate_key");
        assert_single_error(r#"{"a":[{"x":1,"\u0078":2}]}"#, "/a/0/x", "duplicate_key");
        assert_single_error(r#"{"a":"x\u0000y"}"#, "/a", "forbidden_character");
        assert_single_error(r#"["\ud800"]"#, "/0", "forbidden_character");
        assert_single_error(r#"["\ud800\ud800"]"#, "/0", "forbidden_character");
        assert_single_error(r#"{"\udc00":1}"#, "", "invalid_json");
        assert_single_error("[\"\u{202E}\"]", "/0", "forbidden_character");
        assert_single_error("[\"\u{FFFF}\"]", "/0", "forbidden_character");
        assert_single_error("[\"\u{7F}\"]", "/0", "forbidden_character");
        assert_single_error("{\"\u{FEFF}a\":1}", "/\u{FFFD}a", "forbidden_character");
        assert_single_error("[1e400]", "/0", "number_overflow");
        assert_single_error("[-1e99999999999999999999]", "/0", "number_overflow");
        assert_single_error("[1e-400]", "/0", "number_overflow");
    }

    #[test]
    fn invalid_json_is_rejected_with_its_line() {
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
            assert_single_error(text, "", "invalid_json");
        }
        let Err(errors) = StrictJson::parse(b"{\n  \"a\": x}") else { panic!() };
        assert!(errors.reported()[0].detail.contains("line 2 column 8"), "{errors:?}");
        let Err(errors) = StrictJson::parse(b"[\"\xff\"]") else { panic!() };
        assert_eq!(errors.reported()[0].detail, "not UTF-8 from byte 2 on");
    }

    #[test]
    fn all_errors_are_reported_at_once() {
        assert_eq!(errors(r#"{"a":"\u0000","b":[1e400,{"c":1,"c":2}],"a":3}"#).len(), 4);
    }

    #[test]
    fn nesting_is_limited_to_sixteen_levels() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(StrictJson::parse(nested(16).as_bytes()).is_ok());
        assert_single_error(&nested(17), &"/0".repeat(16), "too_deep");
        assert_single_error(&nested(200), &"/0".repeat(16), "too_deep");
        assert_single_error(&nested(200_000), &"/0".repeat(16), "too_deep");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_or_rejected(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let strict = StrictJson::parse(&bytes);
            let lenient = serde_json::from_slice::<serde_json::Value>(&bytes);
            // Stricter than serde_json, never laxer.
            assert!(lenient.is_ok() || strict.is_err());
        }
    }
}
