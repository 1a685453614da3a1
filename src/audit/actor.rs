//! The author of a change and the reason.

use crate::{
    ids::{RequestId, UserId},
    text,
};

/// The reason of a change: 3 to 500 characters on one line, trimmed, at least 3 of them visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Validates `reason`.
    ///
    /// # Errors
    /// The violated rule.
    pub fn parse(reason: &str) -> Result<Self, &'static str> {
        let reason = reason.trim();
        if !(3..=500).contains(&reason.chars().count()) {
            return Err("must have 3 to 500 characters, not counting leading and trailing spaces");
        }
        if text::check(reason).is_err() {
            return Err("must be one line without control and bidirectional characters");
        }
        // Invisible characters would pass the check of the length alone.
        if text::visible_length(reason) < 3 {
            return Err("must have at least 3 visible characters");
        }
        Ok(Self(reason.to_owned()))
    }

    /// Returns the placeholder for a reason that must not be stored.
    #[must_use]
    pub fn withheld() -> Self {
        Self("(withheld: the reason looked like a secret)".to_owned())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The author, reason and request of a change.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The administrator, or the name of an automatic task.
    pub user: UserId,
    /// The reason.
    pub reason: Reason,
    /// The id of the request.
    pub request: RequestId,
}
