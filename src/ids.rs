//! Identifiers, each its own type, so that no two can be swapped.

use std::fmt;

use serde::Serialize;
use unicode_security::confusable_detection::skeleton;
use uuid::Uuid;

use crate::text::{IdentifierError, as_seen, check_identifier};

/// What the names of the service itself begin with.
const RESERVED: &str = "brune:";

/// Who acts: the `sub` of a token, the user an internal caller names, or a part of the service. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

/// Why a text cannot be the name of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// It does not identify anybody.
    #[error(transparent)]
    Identifier(#[from] IdentifierError),
    /// It is a name of the service itself, or looks like one.
    #[error("must not begin with `brune:`, which is reserved for the service itself")]
    Reserved,
}

impl UserId {
    /// Longest identifier taken, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// The user called `name`, as a token or a caller gives it.
    ///
    /// # Errors
    /// `name` breaks a rule of [`check_identifier`], or looks like one of the service's own names.
    pub fn parse(name: &str) -> Result<Self, UserIdError> {
        check_identifier(name, Self::MAX_BYTES)?;
        if is_reserved(name) { Err(UserIdError::Reserved) } else { Ok(Self(name.to_owned())) }
    }

    /// The part of the service called `part`, such as `migrate`, which acts by itself.
    #[must_use]
    pub fn service(part: &'static str) -> Self {
        Self(format!("{RESERVED}{part}"))
    }

    /// The identifier as it stands in tokens and in the database.
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

/// Whether `name` begins like the service's own names, to a reader: case, compatibility forms and look-alike letters
/// of other scripts make no difference.
fn is_reserved(name: &str) -> bool {
    let name = as_seen(name).to_lowercase();
    let name: String = skeleton(&name).collect();
    name.starts_with(&skeleton(RESERVED).collect::<String>())
}

/// One inbound request, as logged, answered and stored in audit rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// A new one, a `UUIDv7`.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The one a caller sent, if it matches `[A-Za-z0-9._-]{1,128}`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// As it stands in the header.
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
    fn nobody_is_called_like_the_service() {
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
