//! A setting's value: one of four types, read exactly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::json::{self, StrictJson};

/// What type of value a setting holds; `value_type` in the database and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A string.
    String,
    /// A number; whole when its constraints say `integer`.
    Number,
    /// True or false.
    Boolean,
    /// A list of strings.
    StringArray,
}

impl ValueType {
    /// As the database spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::StringArray => "string_array",
        }
    }

    /// The type spelt `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::String, Self::Number, Self::Boolean, Self::StringArray]
            .into_iter()
            .find(|it| it.as_str() == text)
    }

    /// The type, for a person.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::StringArray => "a list of strings",
        }
    }
}

/// A number that JSON clients read back digit for digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number of at most [`Number::MAX_INTEGER`] in magnitude.
    Integer(i64),
    /// One with a fraction.
    Decimal(f64),
}

impl Number {
    /// 2^53 − 1: beyond it, clients that read numbers as doubles lose digits (RFC 8259, section 6).
    pub const MAX_INTEGER: i64 = (1 << 53) - 1;

    /// Reads a JSON number from its own text: `30`, `30.0` and `3e1` are the integer 30. `None` when a
    /// digit would be lost.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(whole) = json::integral(text) {
            let kept = whole.unsigned_abs() <= Self::MAX_INTEGER.unsigned_abs();
            return kept.then_some(Self::Integer(whole));
        }
        let nearest: f64 = text.parse().ok()?;
        // Two texts may be as short and as near: what our JSON is written with and the standard library
        // need not choose the same.
        let spelt = [format!("{nearest:e}"), serde_json::to_string(&nearest).ok()?];
        let exact = Exact::of(text)?;
        let told = spelt.iter().any(|it| Exact::of(it).as_ref() == Some(&exact));
        // What is whole here is an integer too great to be kept.
        (nearest.fract() != 0.0 && told).then_some(Self::Decimal(nearest))
    }

    /// The number as a double, to compare it.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 − 1 by construction")]
            Self::Integer(whole) => whole as f64,
            Self::Decimal(decimal) => decimal,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(whole) => whole.fmt(f),
            Self::Decimal(decimal) => decimal.fmt(f),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(whole) => serializer.serialize_i64(*whole),
            Self::Decimal(decimal) => serializer.serialize_f64(*decimal),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        Self::parse(&number.to_string())
            .ok_or_else(|| D::Error::custom(format_args!("{number} has too many digits")))
    }
}

/// A number's significant digits and the power of ten they are multiplied by, without trailing zeros.
#[derive(Debug, PartialEq)]
struct Exact {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Exact {
    fn of(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let significant = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - significant.len()).ok()?;
        let shift = i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(shift)?.checked_add(dropped)?;
        Some(Self { negative, digits, exponent })
    }
}

/// A value as JSON spells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list of strings.
    StringArray(Vec<String>),
}

/// Why a JSON value is no value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeMismatch {
    /// It is of another type.
    Type,
    /// It is a number whose digits would not all be kept.
    Digits,
}

impl SettingValue {
    /// The type this value is of.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Number(_) => ValueType::Number,
            Self::String(_) => ValueType::String,
            Self::StringArray(_) => ValueType::StringArray,
        }
    }

    /// Reads `json` as a value of `value_type`; nothing is converted, `"30"` is no number.
    pub fn parse(value_type: ValueType, json: &StrictJson) -> Result<Self, TypeMismatch> {
        match (value_type, json) {
            (ValueType::String, StrictJson::String(text)) => Ok(Self::String(text.clone())),
            (ValueType::Boolean, StrictJson::Bool(it)) => Ok(Self::Boolean(*it)),
            (ValueType::Number, StrictJson::Number(text)) => {
                Number::parse(text).map(Self::Number).ok_or(TypeMismatch::Digits)
            }
            (ValueType::StringArray, StrictJson::Array(items)) => {
                let items = items.iter().map(|item| match item {
                    StrictJson::String(text) => Some(text.clone()),
                    _ => None,
                });
                items.collect::<Option<_>>().map(Self::StringArray).ok_or(TypeMismatch::Type)
            }
            _ => Err(TypeMismatch::Type),
        }
    }

    /// The value as JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Boolean(it) => (*it).into(),
            Self::Number(Number::Integer(whole)) => (*whole).into(),
            Self::Number(Number::Decimal(decimal)) => (*decimal).into(),
            Self::String(text) => text.as_str().into(),
            Self::StringArray(items) => items.as_slice().into(),
        }
    }

    /// The value that `stored` spells, as read back from `jsonb`.
    #[must_use]
    pub fn from_stored(stored: &serde_json::Value) -> Option<Self> {
        Self::deserialize(stored).ok()
    }
}

impl From<&SettingValue> for StrictJson {
    fn from(value: &SettingValue) -> Self {
        match value {
            SettingValue::Boolean(it) => Self::Bool(*it),
            SettingValue::Number(number) => Self::Number(number.to_string()),
            SettingValue::String(text) => Self::String(text.clone()),
            SettingValue::StringArray(items) => {
                Self::Array(items.iter().cloned().map(Self::String).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integral_number_is_an_integer_however_it_is_written() {
        for text in ["30", "30.0", "3e1", "3E+1", "300e-1", "0.3e2"] {
            assert_eq!(Number::parse(text), Some(Number::Integer(30)), "{text}");
        }
        for text in ["0", "-0", "0.0", "0e999999", "-0.000"] {
            assert_eq!(Number::parse(text), Some(Number::Integer(0)), "{text}");
        }
        assert_eq!(Number::parse("-9007199254740991"), Some(Number::Integer(-Number::MAX_INTEGER)));
    }

    #[test]
    fn a_number_that_would_lose_digits_is_none() {
        let texts =
            ["9007199254740992", "1180591620717411303424", "1e400", "1e99999999999999999999"];
        for text in
            texts.into_iter().chain(["0.12345678901234567890", "1e-400", "0.1000000000000000055"])
        {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_decimal_keeps_its_digits() {
        for text in ["0.1", "30.5", "-2.25", "1.5e-7", "0.30000000000000004"] {
            assert!(matches!(Number::parse(text), Some(Number::Decimal(_))), "{text}");
        }
        assert_eq!(serde_json::to_string(&Number::parse("30.50")).unwrap(), "30.5");
    }

    #[test]
    fn what_is_written_as_json_is_read_again_where_two_texts_are_as_near() {
        let number = Number::parse("1817035687159076.3").unwrap();
        assert_eq!(Number::parse(&serde_json::to_string(&number).unwrap()), Some(number));
    }

    #[test]
    fn nothing_is_converted_to_the_wanted_type() {
        let text = StrictJson::String("30".to_owned());
        assert_eq!(SettingValue::parse(ValueType::Number, &text), Err(TypeMismatch::Type));
        let mixed = StrictJson::Array(vec![text, StrictJson::Null]);
        assert_eq!(SettingValue::parse(ValueType::StringArray, &mixed), Err(TypeMismatch::Type));
        assert_eq!(
            SettingValue::parse(ValueType::Boolean, &StrictJson::Number("1".into())),
            Err(TypeMismatch::Type)
        );
    }
}
