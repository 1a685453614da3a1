//! Configuration errors, reported all at once.

use std::fmt;

/// A configuration error: variable, problem and fix. Never holds a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable or the file.
    pub variable: String,
    /// The problem, worded to follow the name of the variable.
    pub problem: String,
    /// How to fix the problem, unless the problem says so.
    pub fix: Option<String>,
}

impl ConfigError {
    pub(super) fn new(
        variable: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { fix: Some(fix.into()), ..Self::without_fix(variable, problem) }
    }

    pub(super) fn without_fix(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into(), fix: None }
    }

    /// Returns the problem and the fix, without the variable.
    #[must_use]
    pub fn detail(&self) -> String {
        match &self.fix {
            Some(fix) => format!("{}; {fix}", self.problem),
            None => self.problem.clone(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.detail())
    }
}

impl std::error::Error for ConfigError {}

/// Every error of a configuration. Displays one per line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Returns the errors in reading order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// Returns whether there are no errors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, error: ConfigError) {
        // A variable that is read twice reports its error once.
        if !self.0.contains(&error) {
            self.0.push(error);
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<ConfigError>> for ConfigErrors {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(errors)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} configuration {noun}:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}
