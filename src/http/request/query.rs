//! The query string, read parameter by parameter, so that the caller hears of every fault at once.

use std::{borrow::Cow, convert::Infallible, ops::RangeInclusive};

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::{
    http::problem::Problem,
    json::{FieldError, FieldErrors, field_error},
    text,
};

/// The parameters of a request. Like [`Fields`](super::Fields): ask for each, then [`Self::finish`];
/// what is unknown, repeated, empty or of the wrong shape is a fault.
#[derive(Debug, Default)]
pub struct Query {
    parameters: Vec<(String, Option<String>)>,
    asked: Vec<&'static str>,
    faults: FieldErrors,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// The most parameters that are read; no route has half as many.
const MOST: usize = 32;

impl Query {
    /// The parameters in `text`, the part of a URL after its `?`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (at, pair) in text.split('&').filter(|it| !it.is_empty()).enumerate() {
            if at == MOST {
                let detail = format!("must have at most {MOST} parameters");
                query = Self::default();
                query.faults.push(FieldError::at("?", "too_many_parameters", detail));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => query.add(name, value),
                _ => query.faults.push(FieldError::at("?", "not_utf8", "a parameter is not UTF-8")),
            }
        }
        query
    }

    /// A text, if there is one.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.take(name)
    }

    /// An integer of `range`, if there is one.
    pub fn integer(&mut self, name: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        let text = self.take(name)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        // `parse` alone would take `+5`, which in a query is ` 5` to everyone else.
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let found = text.parse().ok().filter(|it| plain && range.contains(it));
        if found.is_none() {
            let (min, max) = (range.start(), range.end());
            let detail = format!("must be an integer from {min} to {max}");
            let rule = json!({"integer": true, "min": min, "max": max});
            self.faults
                .push(FieldError::at(place(name), "out_of_range", detail).with_constraint(rule));
        }
        found
    }

    /// An instant, if there is one.
    pub fn time(&mut self, name: &'static str) -> Option<DateTime<Utc>> {
        let text = self.take(name)?;
        let found = DateTime::parse_from_rfc3339(&text).ok().map(|it| it.to_utc());
        if found.is_none() {
            let detail =
                "must be an RFC 3339 time such as 2026-11-22T10:00:00Z (a + is sent as %2B)";
            self.fault(name, "not_a_time", detail);
        }
        found
    }

    /// `true` or `false`; `false` if it is not there.
    pub fn boolean(&mut self, name: &'static str) -> bool {
        self.choice(name, &["true", "false"]) == Some("true")
    }

    /// Whether the parameter is there, whatever it says: `?verbose`.
    pub fn flag(&mut self, name: &'static str) -> bool {
        self.faults.forget(&place(name), "empty");
        self.asked.push(name);
        self.parameters.iter().any(|(it, _)| it == name)
    }

    /// One of `choices`, if there is one.
    pub fn choice(&mut self, name: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.take(name)?;
        let found = choices.iter().copied().find(|it| *it == text);
        if found.is_none() {
            let detail = format!("must be one of {}", choices.join(", "));
            let fault = FieldError::at(place(name), "not_a_choice", detail);
            self.faults.push(fault.with_constraint(json!({"enum": choices})));
        }
        found
    }

    /// Which page of a list: after which place, as `parse` reads it, and how many entries at most.
    pub fn page<C>(&mut self, parse: impl FnOnce(&str) -> Option<C>) -> (Option<C>, u16) {
        let limit = self.integer("limit", 1..=200).and_then(|it| u16::try_from(it).ok());
        let text = self.text("cursor");
        let cursor = text.as_deref().and_then(parse);
        if text.is_some() && cursor.is_none() {
            let detail = "is no cursor of these filters; start again without one";
            self.fault("cursor", "not_a_cursor", detail);
        }
        (cursor, limit.unwrap_or(50))
    }

    /// Says that the parameter `name` is at fault in a way that only the caller knows.
    pub fn fault(&mut self, name: &'static str, code: &'static str, detail: impl Into<String>) {
        self.faults.push(FieldError::at(place(name), code, detail));
    }

    /// All that is wrong with the parameters, if anything is.
    pub fn finish(mut self) -> Result<(), Problem> {
        let known = if self.asked.is_empty() { "none".to_owned() } else { self.asked.join(", ") };
        for (name, _) in self.parameters.iter().filter(|(it, _)| !self.asked.contains(&it.as_str()))
        {
            let detail = format!("is not known here; known are {known}");
            self.faults.push(FieldError::at(place(name), "unknown_parameter", detail));
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        let problem = Problem::malformed(self.faults);
        let takes_reason = self.asked.contains(&"reason");
        Err(if takes_reason { problem.or_reason_required() } else { problem })
    }

    fn add(&mut self, name: String, value: String) {
        if self.parameters.iter().any(|(it, _)| *it == name) {
            self.faults.push(FieldError::at(place(&name), "repeated", "stands more than once"));
        } else if let Err(character) = text::check(&value) {
            let detail = format!("must not contain {character}");
            self.faults.push(FieldError::at(place(&name), "forbidden_character", detail));
            self.parameters.push((name, None));
        } else if value.is_empty() {
            let detail = "is empty; leave it out instead";
            self.faults.push(FieldError::at(place(&name), "empty", detail));
            self.parameters.push((name, None));
        } else {
            self.parameters.push((name, Some(value)));
        }
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.asked.push(name);
        self.parameters.iter_mut().find(|(it, _)| it == name)?.1.take()
    }
}

/// Percent signs and pluses decoded; `None` if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

/// Where a parameter stands, as faults name it.
fn place(name: &str) -> String {
    let mut place = String::new();
    field_error::step_into(&mut place, name);
    place.replacen('/', "?", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::tests::errors_of;

    #[test]
    fn sound_parameters_are_read() {
        let mut query = Query::parse(
            "limit=20&since=2026-11-22T10:00:00%2B01:00&dry_run=true&action=seed&search=a%26b+c",
        );
        assert_eq!(query.integer("limit", 1..=200), Some(20));
        assert_eq!(query.time("since").unwrap().to_rfc3339(), "2026-11-22T09:00:00+00:00");
        assert!(query.boolean("dry_run"));
        assert_eq!(query.choice("action", &["seed", "update"]), Some("seed"));
        assert_eq!(query.text("search").as_deref(), Some("a&b c"));
        assert_eq!(query.text("cursor"), None);
        assert!(query.finish().is_ok());
    }

    #[test]
    fn every_fault_is_told_with_its_parameter() {
        let mut query = Query::parse(
            "limit=201&limit=1&at=yesterday&dry_run=yes&action=&nope=1&x=%ff&r=a%0Ab&n=+5",
        );
        query.integer("limit", 1..=200);
        query.time("at");
        query.boolean("dry_run");
        query.choice("action", &["seed"]);
        query.text("r");
        query.integer("n", 0..=9);
        let expected = [
            ("?limit", "repeated"),
            ("?action", "empty"),
            ("?", "not_utf8"),
            ("?r", "forbidden_character"),
            ("?limit", "out_of_range"),
            ("?at", "not_a_time"),
            ("?dry_run", "not_a_choice"),
            ("?n", "out_of_range"),
            ("?nope", "unknown_parameter"),
        ];
        let expected = expected.map(|(at, code)| (at.to_owned(), code));
        assert_eq!(errors_of(&query.finish().unwrap_err()), expected);
    }

    #[test]
    fn what_is_no_plain_integer_or_time_is_refused() {
        for text in ["5.0", "0x5", "5e0", "five", "%2B5", "99999999999999999999", "--5", "-"] {
            let mut query = Query::parse(&format!("n={text}"));
            assert_eq!(query.integer("n", -9..=9), None, "{text}");
            assert!(query.finish().is_err(), "{text}");
        }
        for text in ["2026-02-30T00:00:00Z", "2026-01-01", "1", "2026-01-01T00:00:00", "now"] {
            let mut query = Query::parse(&format!("t={text}"));
            assert_eq!(query.time("t"), None, "{text}");
            assert!(query.finish().is_err(), "{text}");
        }
    }
}
