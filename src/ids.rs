//! Identifiers as types, so that no two can be swapped.

use std::fmt;

use serde::Serialize;
use unicode_security::confusable_detection::skeleton;
use uuid::Uuid;

use crate::text::{IdentifierError, as_seen, check_identifier};

/// The prefix of the names of the service itself.
const RESERVED: &str = "brune:";

/// A user: the `sub` of a token, the user named by an internal caller, or a part of the service. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

/// An invalid user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// The text is not an identifier.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// The name is reserved for the service, or looks like a reserved name.
    #[error("must not begin with `brune:`, which is reserved for the service itself")]
    Reserved,
}

impl UserId {
    /// The most bytes of a user name.
    pub const MAX_BYTES: usize = 256;

    /// Parses a user name of a token or a caller.
    ///
    /// # Errors
    /// `name` is not an identifier by [`check_identifier`], or looks like a reserved name.
    pub fn parse(name: &str) -> Result<Self, UserIdError> {
        check_identifier(name, Self::MAX_BYTES)?;
        if is_reserved(name) { Err(UserIdError::Reserved) } else { Ok(Self(name.to_owned())) }
    }

    /// Returns the user name of a part of the service, such as `migrate`.
    #[must_use]
    pub fn service(part: &'static str) -> Self {
        Self(format!("{RESERVED}{part}"))
    }

    /// Returns the name as in tokens and in the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns whether `name` looks like a reserved name: ignores case, compatibility forms and look-alike letters of other
/// scripts.
fn is_reserved(name: &str) -> bool {
    // Look-alike letters would let a user act under a name of the service in the audit trail.
    let name = as_seen(name).to_lowercase();
    let name: String = skeleton(&name).collect();
    name.starts_with(&skeleton(RESERVED).collect::<String>())
}

/// The id of a request in the log, in the response and in audit rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Generates an id, a `UUIDv7`.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Parses a caller's id, which must match `[A-Za-z0-9._-]{1,128}`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_valid = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns the text of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_rejected() {
        for name in [
            "brune:migrate",
            "BRUNE:Schedule",
            "brune:",
            "brune\u{FF1A}x",
            "\u{FF42}rune:x",
            "b\u{433}une:x",
            "brun\u{435}:x",
            "brune\u{2236}x",
        ] {
            assert_eq!(
                UserId::parse(name),
                Err(UserIdError::Reserved),
                "{}",
                name.escape_unicode()
            );
        }
        assert_eq!(
            UserId::parse("br\u{200B}une:x"),
            Err(UserIdError::Identifier(IdentifierError::Invisible))
        );
        for name in ["brune", "brune-e:x", "bruneau:x", "a brune:x", "René", "山田太郎", "שרה"]
        {
            assert_eq!(UserId::parse(name).unwrap().as_str(), name);
        }
        assert_eq!(UserId::service("migrate").as_str(), "brune:migrate");
    }
}
