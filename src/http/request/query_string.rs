//! The query string, decoded strictly.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::{
    http::{
        problem::Problem,
        request::{
            rules::Bounds,
            value::{FromText, NOT_A_TIME},
        },
    },
    json::{FieldError, FieldErrors, field_error},
    text,
};

/// The most parameters that are read; no route has half as many.
const MAX_PARAMETERS: usize = 32;

/// A query string, decoded.
#[derive(Debug, Default)]
pub struct QueryString {
    /// Names and values; the value of a parameter with a forbidden character is `None`, and the error is reported.
    parameters: Vec<(String, Option<String>)>,
    names: Vec<&'static str>,
    errors: FieldErrors,
}

/// The presence of a parameter.
pub(in crate::http) enum Taken {
    /// The parameter is absent.
    Absent,
    /// With a forbidden character; the error is reported.
    Invalid,
    /// The decoded text.
    Text(String),
}

impl QueryString {
    /// Decodes `text`, the part of a URL after `?`.
    pub(in crate::http) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        // An empty pair is harmless: many clients end a query with `&`.
        for (index, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            // A flood of parameters must not become a flood of errors.
            if index == MAX_PARAMETERS {
                let detail = format!("must have at most {MAX_PARAMETERS} parameters");
                query = Self::default();
                query.errors.push(FieldError::at("?", "too_many_parameters", detail));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => query.add(name, value),
                _ => {
                    // The name is left out of the error: the bytes have no faithful text.
                    query.errors.push(FieldError::at("?", "not_utf8", "a parameter is not UTF-8"));
                }
            }
        }
        query
    }

    fn add(&mut self, name: String, value: String) {
        // Proxies disagree whether the first or the last of two counts, so neither does.
        if self.parameters.iter().any(|(parameter, _)| *parameter == name) {
            self.report(&name, FieldError::at("", "repeated", "must not be repeated"));
        } else if let Err(character) = text::check(&value) {
            let detail = format!("must not contain {character}");
            self.report(&name, FieldError::at("", "forbidden_character", detail));
            self.parameters.push((name, None));
        } else {
            self.parameters.push((name, Some(value)));
        }
    }

    /// Whether none of `names` is present; the names count as declared.
    pub(in crate::http) fn lacks(&mut self, names: &[&'static str]) -> bool {
        self.names.extend(names);
        !self.parameters.iter().any(|(name, _)| names.contains(&name.as_str()))
    }

    /// Takes the parameter `name` out of the query, and declares the name.
    pub(in crate::http) fn take(&mut self, name: &'static str) -> Taken {
        // `lacks` may have declared the name before.
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        match self.parameters.iter_mut().find(|(parameter, _)| parameter == name) {
            None => Taken::Absent,
            Some((_, value)) => value.take().map_or(Taken::Invalid, Taken::Text),
        }
    }

    /// Converts a parameter, and reports the error if there is one.
    pub(in crate::http) fn convert<T: FromText>(
        &mut self,
        name: &str,
        bounds: Bounds,
        parameter: Taken,
        absent: impl FnOnce() -> Result<T, FieldError>,
    ) -> Option<T> {
        let value = match parameter {
            Taken::Invalid => return None,
            Taken::Absent => absent(),
            Taken::Text(text) if text.is_empty() => {
                Err(FieldError::at("", "empty", "must not be empty; omit the parameter instead"))
            }
            Taken::Text(text) => T::from_text(&text, bounds).map_err(with_encoding),
        };
        value.map_err(|error| self.report(name, error)).ok()
    }

    /// Adds the errors of the rules of several parameters.
    pub(in crate::http) fn report_all(&mut self, violations: Vec<(String, FieldError)>) {
        for (name, error) in violations {
            self.report(&name, error);
        }
    }

    fn report(&mut self, name: &str, error: FieldError) {
        self.errors.push(FieldError { pointer: Some(place(name)), ..error });
    }

    /// Returns all errors, including unknown parameters, and the names of the declared parameters.
    pub(in crate::http) fn close(mut self) -> (FieldErrors, Vec<&'static str>) {
        for (name, _) in &self.parameters {
            if !self.names.contains(&name.as_str()) {
                let names = match self.names.as_slice() {
                    [] => "this route has no parameters".to_owned(),
                    names => format!("the parameters are {}", names.join(", ")),
                };
                let detail = format!("unknown parameter; {names}");
                self.errors.push(FieldError::at(place(name), "unknown_parameter", detail));
            }
        }
        (self.errors, self.names)
    }
}

/// Whether `text`, the part of a URL after `?`, asks for a dry run. The handler refuses an invalid query later.
pub(in crate::http) fn is_dry_run(text: &str) -> bool {
    // Only the exact text `true` spares the quota; any other text counts as a write.
    matches!(QueryString::parse(text).take("dry_run"), Taken::Text(value) if value == "true")
}

/// Returns the problem of a parameter that contradicts other parameters.
pub(in crate::http) fn invalid(name: &str, code: &'static str, detail: &str) -> Problem {
    Problem::malformed(FieldError::at(place(name), code, detail))
}

/// Decodes percent signs and pluses; `None` if the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    // Forms encode a space as a plus.
    let text = text.replace('+', " ");
    // Percent signs come last: an encoded plus must stay a plus.
    percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

/// Adds the encoding to the error of a time: an unencoded plus of an offset arrives as a space.
fn with_encoding(error: FieldError) -> FieldError {
    if error.code != NOT_A_TIME {
        return error;
    }
    FieldError { detail: format!("{} (encode + as %2B)", error.detail), ..error }
}

/// Returns the pointer to a parameter.
fn place(name: &str) -> String {
    let mut place = String::new();
    // `step_into` truncates and sanitizes the caller's name.
    field_error::step_into(&mut place, name);
    place.replacen('/', "?", 1)
}
