//! Setting values: four types, read without loss.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use crate::json::{Decimal, StrictJson};

/// The type of a setting: `value_type` in the database and in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// A string.
    String,
    /// A number; an integer if the constraints say `integer`.
    Number,
    /// True or false.
    Boolean,
    /// A list of strings.
    StringArray,
}

impl ValueType {
    const ALL: [Self; 4] = [Self::String, Self::Number, Self::Boolean, Self::StringArray];

    /// Returns the name in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::StringArray => "string_array",
        }
    }

    /// Parses the name of a type.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value_type| value_type.as_str() == name)
    }

    /// Returns a description for people, with an article.
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
    /// An integer of at most [`Number::MAX_INTEGER`] in magnitude.
    Integer(i64),
    /// A number with a fraction.
    Decimal(f64),
}

impl Number {
    /// 2^53 − 1: clients that read numbers as doubles lose digits of larger integers (RFC 8259, section 6).
    pub const MAX_INTEGER: i64 = (1 << 53) - 1;

    /// Parses a JSON number: `30`, `30.0` and `3e1` are the integer 30. Returns `None` if a double would lose a
    /// digit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let exact = Decimal::parse(text)?;
        // Integers first, so that `30.0` and `3e1` are stored as 30.
        if let Some(integer) = exact.to_integer() {
            // Beyond 2^53 two integers share one double, so clients would read a neighbor.
            let is_safe = integer.unsigned_abs() <= Self::MAX_INTEGER.unsigned_abs();
            return is_safe.then_some(Self::Integer(integer));
        }
        // Clients read decimals as doubles, so only an exact round trip is accepted.
        let nearest: f64 = text.parse().ok()?;
        // Two texts may be equally short and near: serde_json and the standard library may choose differently.
        let round_trips = [format!("{nearest:e}"), serde_json::to_string(&nearest).ok()?];
        let is_exact = round_trips
            .iter()
            .any(|round_trip| Decimal::parse(round_trip).as_ref() == Some(&exact));
        // A double without a fraction is an integer beyond an `i64`.
        (nearest.fract() != 0.0 && is_exact).then_some(Self::Decimal(nearest))
    }

    /// Returns the number as a double, for comparisons.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53 − 1 by construction")]
            Self::Integer(integer) => integer as f64,
            Self::Decimal(decimal) => decimal,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            Self::Decimal(decimal) => decimal.fmt(f),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(integer) => serializer.serialize_i64(*integer),
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

/// A value as JSON.
///
/// `Deserialize` infers the type from the JSON and serves only the replay of an earlier response. Stored values
/// are read by [`SettingValue::from_stored`].
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

/// The reason why a JSON value is not a value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeMismatch {
    /// The JSON is of another type.
    Type,
    /// A double would lose digits of the number.
    Digits,
}

impl SettingValue {
    /// Returns the type of the value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Boolean(_) => ValueType::Boolean,
            Self::Number(_) => ValueType::Number,
            Self::String(_) => ValueType::String,
            Self::StringArray(_) => ValueType::StringArray,
        }
    }

    /// Reads the JSON of a request as a value of `value_type`, without conversion: `"30"` is not a number.
    ///
    /// # Errors
    /// The JSON is of another type, or digits would be lost.
    pub fn parse(value_type: ValueType, json: &StrictJson) -> Result<Self, TypeMismatch> {
        match (value_type, json) {
            (ValueType::String, StrictJson::String(text)) => Ok(Self::String(text.clone())),
            (ValueType::Boolean, StrictJson::Bool(boolean)) => Ok(Self::Boolean(*boolean)),
            (ValueType::Number, StrictJson::Number(text)) => number(text),
            (ValueType::StringArray, StrictJson::Array(items)) => {
                string_array(items, |item| match item {
                    StrictJson::String(text) => Some(text.clone()),
                    _ => None,
                })
            }
            _ => Err(TypeMismatch::Type),
        }
    }

    /// Reads the `jsonb` of a stored value by the declared type of the key.
    ///
    /// The type is never inferred from the JSON, because two types may share a JSON representation.
    ///
    /// # Errors
    /// The JSON is not of the declared type, or digits would be lost.
    pub fn from_stored(declared: ValueType, stored: &Value) -> Result<Self, TypeMismatch> {
        match (declared, stored) {
            (ValueType::String, Value::String(text)) => Ok(Self::String(text.clone())),
            (ValueType::Boolean, Value::Bool(boolean)) => Ok(Self::Boolean(*boolean)),
            // `psql` can store a number beyond 2^53, so stored numbers are checked like requests.
            (ValueType::Number, Value::Number(digits)) => number(&digits.to_string()),
            (ValueType::StringArray, Value::Array(items)) => {
                string_array(items, |item| item.as_str().map(str::to_owned))
            }
            _ => Err(TypeMismatch::Type),
        }
    }

    /// Returns the value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Boolean(boolean) => (*boolean).into(),
            Self::Number(Number::Integer(integer)) => (*integer).into(),
            Self::Number(Number::Decimal(decimal)) => (*decimal).into(),
            Self::String(text) => text.as_str().into(),
            Self::StringArray(items) => items.as_slice().into(),
        }
    }
}

fn number(text: &str) -> Result<SettingValue, TypeMismatch> {
    Number::parse(text).map(SettingValue::Number).ok_or(TypeMismatch::Digits)
}

fn string_array<J>(
    items: &[J],
    text_of: impl Fn(&J) -> Option<String>,
) -> Result<SettingValue, TypeMismatch> {
    let texts: Option<Vec<String>> = items.iter().map(text_of).collect();
    texts.map(SettingValue::StringArray).ok_or(TypeMismatch::Type)
}

impl From<SettingValue> for StrictJson {
    fn from(value: SettingValue) -> Self {
        match value {
            SettingValue::Boolean(boolean) => Self::Bool(boolean),
            SettingValue::Number(number) => Self::Number(number.to_string()),
            SettingValue::String(text) => Self::String(text),
            SettingValue::StringArray(items) => {
                Self::Array(items.into_iter().map(Self::String).collect())
            }
        }
    }
}

impl From<&SettingValue> for StrictJson {
    fn from(value: &SettingValue) -> Self {
        value.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_integral_number_is_an_integer_in_every_notation() {
        for text in ["30", "30.0", "3e1", "3E+1", "300e-1", "0.3e2"] {
            assert_eq!(Number::parse(text), Some(Number::Integer(30)), "{text}");
        }
        for text in ["0", "-0", "0.0", "0e999999", "-0.000"] {
            assert_eq!(Number::parse(text), Some(Number::Integer(0)), "{text}");
        }
        assert_eq!(Number::parse("-9007199254740991"), Some(Number::Integer(-Number::MAX_INTEGER)));
    }

    #[test]
    fn a_number_that_would_lose_digits_is_rejected() {
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
    fn a_number_round_trips_where_two_texts_are_equally_near() {
        let number = Number::parse("1817035687159076.3").unwrap();
        assert_eq!(Number::parse(&serde_json::to_string(&number).unwrap()), Some(number));
    }

    #[test]
    fn values_are_not_converted() {
        let text = StrictJson::String("30".to_owned());
        assert_eq!(SettingValue::parse(ValueType::Number, &text), Err(TypeMismatch::Type));
        let mixed = StrictJson::Array(vec![text, StrictJson::Null]);
        assert_eq!(SettingValue::parse(ValueType::StringArray, &mixed), Err(TypeMismatch::Type));
        assert_eq!(
            SettingValue::parse(ValueType::Boolean, &StrictJson::Number("1".into())),
            Err(TypeMismatch::Type)
        );
    }
    /// A new type whose JSON is a string would otherwise be read back as a string, and every start would fail.
    #[test]
    fn a_stored_value_is_of_the_declared_type_or_rejected() {
        let inputs = [
            json!("15m"),
            json!(true),
            json!(1.5),
            json!(1e30),
            json!([]),
            json!(["a"]),
            json!([1]),
            json!(null),
        ];
        for declared in ValueType::ALL {
            for json in &inputs {
                let value = SettingValue::from_stored(declared, json);
                assert!(value.is_err() || value.unwrap().value_type() == declared, "{json}");
            }
        }
        let digits = SettingValue::from_stored(ValueType::Number, &json!(1e30));
        assert_eq!(digits, Err(TypeMismatch::Digits));
        assert_eq!(
            SettingValue::from_stored(ValueType::Number, &json!("15m")),
            Err(TypeMismatch::Type)
        );
        assert_eq!(
            SettingValue::from_stored(ValueType::StringArray, &json!([1])),
            Err(TypeMismatch::Type)
        );
    }
}
