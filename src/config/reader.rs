//! Reads typed values from an [`Environment`] and collects the errors.

use std::{fmt::Display, str::FromStr};

use validator::Validate;

use super::{ConfigError, ConfigErrors, Environment, Secret, numbers::Number};

const GENERATE: &str = "generate one with `openssl rand -hex 32`";

/// Reads an environment and collects its errors.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    errors: ConfigErrors,
    /// The variables of numbers with their defaults, in reading order.
    defaults: Vec<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: &'a Environment) -> Self {
        let errors = environment.errors().into();
        Self { environment, errors, defaults: Vec::new() }
    }

    /// Returns `value` if there was no error.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors),
        }
    }

    pub(super) fn reject(&mut self, variable: &str, problem: impl Into<String>, fix: &str) {
        self.errors.push(ConfigError::new(variable, problem, fix));
    }

    /// Reports the secret `variable` as missing, unless its value has an error already.
    pub(super) fn reject_missing(&mut self, variable: &str, fix: &str) {
        // An unreadable secret is not missing.
        if matches!(self.environment.secret(variable), Ok(None)) {
            self.reject(variable, "is required in production", fix);
        }
    }

    /// Returns the value of `result`, or keeps its error.
    pub(super) fn accept<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    pub(super) fn text(&mut self, variable: &str) -> Option<String> {
        let (text, _) = self.accept(self.environment.text(variable))??;
        Some(text.trim().to_owned())
    }

    pub(super) fn parsed<T: FromStr>(
        &mut self,
        variable: &str,
        problem: &str,
        fix: &str,
    ) -> Option<T> {
        let parsed = self.text(variable)?.parse().ok();
        if parsed.is_none() {
            self.reject(variable, problem, fix);
        }
        parsed
    }

    /// Reads a number for [`Self::validate`]. Text that is not an integer reads as the maximum of the type, which is
    /// outside every range: one check then reports both errors with the range.
    pub(super) fn number<T: Number + Display>(&mut self, variable: &'static str, default: T) -> T {
        self.defaults.push((variable, default.to_string()));
        match self.text(variable) {
            // The range check reports the error with min and max.
            Some(text) => text.parse().unwrap_or(T::MAX),
            None => default,
        }
    }

    /// Reports every field of `group` that is outside its range. The `code` of a range names the field's variable.
    pub(super) fn validate(&mut self, group: &impl Validate) {
        let Err(violations) = group.validate() else { return };
        let violations = violations.field_errors();
        for (variable, default) in std::mem::take(&mut self.defaults) {
            let Some(violation) =
                violations.values().copied().flatten().find(|violation| violation.code == variable)
            else {
                continue;
            };
            // The parameter `value` is left out: errors never repeat a value.
            let bound = |name: &str| violation.params.get(name).map(ToString::to_string);
            // Every range of the configuration has both bounds.
            let min = bound("min").unwrap_or_default();
            let max = bound("max").unwrap_or_default();
            let problem = format!("must be an integer between {min} and {max} (default {default})");
            self.errors.push(ConfigError::without_fix(variable, problem));
        }
    }

    pub(super) fn choice<T: Copy>(&mut self, variable: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(variable)?;
        let choice = choices.iter().find(|(word, _)| text == *word).map(|(_, value)| *value);
        if choice.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
            let problem = format!("must be one of {}", words.join(", "));
            self.errors.push(ConfigError::without_fix(variable, problem));
        }
        choice
    }

    pub(super) fn boolean(&mut self, variable: &str, default: bool) -> bool {
        let choices = [("true", true), ("false", false), ("1", true), ("0", false)];
        self.choice(variable, &choices).unwrap_or(default)
    }

    pub(super) fn secret(&mut self, variable: &str) -> Option<Secret> {
        Some(self.accept(self.environment.secret(variable))??.0)
    }

    // `validator` copies a rejected value into its error, so the lengths of secrets are checked by hand.
    fn secret_with_min_length(&mut self, variable: &str, min: usize) -> Option<Secret> {
        let secret = self.secret(variable)?;
        if secret.expose().len() < min {
            self.reject(variable, format!("must have at least {min} bytes"), GENERATE);
            return None;
        }
        Some(secret)
    }

    /// Reads one secret, or two during a rotation: one per line, each of `min` bytes or more, newest first.
    pub(super) fn rotating_secrets(&mut self, variable: &str, min: usize) -> Vec<Secret> {
        let Some(secret) = self.secret(variable) else { return Vec::new() };
        let lines: Vec<&str> = secret.expose().lines().collect();
        if lines.len() > 2 {
            let fix = "keep the new secret and the previous one";
            self.reject(variable, "must have at most two lines", fix);
        }
        if lines.iter().any(|line| line.len() < min) {
            let place = if lines.len() == 1 { "" } else { " on each line" };
            self.reject(variable, format!("must have at least {min} bytes{place}"), GENERATE);
        }
        lines.into_iter().map(|line| Secret::new(line.to_owned())).collect()
    }

    /// Reads a secret of `min` bytes or more that is sent in a header.
    pub(super) fn header_secret(&mut self, variable: &str, min: usize) -> Option<Secret> {
        let secret = self.secret_with_min_length(variable, min)?;
        // A space or a line break would never match the header of a request.
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = "must contain only visible ASCII characters";
            self.reject(variable, problem, "remove spaces and line breaks");
            return None;
        }
        Some(secret)
    }
}
