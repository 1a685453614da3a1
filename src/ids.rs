//! Identifiers as types, so that no two can be swapped.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use unicode_security::confusable_detection::skeleton;
use uuid::{NoContext, Timestamp, Uuid, fmt::Hyphenated};

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
        // Not parsed, because `parse` rejects the reserved prefix.
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

/// The id of a request in the log, in the response and in audit rows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestId(RequestIdText);

#[derive(Debug, Clone)]
enum RequestIdText {
    /// In place, because almost every request has a generated id.
    Generated([u8; Hyphenated::LENGTH]),
    FromCaller(Arc<str>),
}

impl RequestId {
    /// Generates an id, a `UUIDv7`.
    #[must_use]
    pub fn new() -> Self {
        // Ids of one millisecond need no order, so the requests of all threads share no counter.
        let id = Uuid::new_v7(Timestamp::now(NoContext)).hyphenated();
        let mut text = [0; Hyphenated::LENGTH];
        id.encode_lower(&mut text);
        Self(RequestIdText::Generated(text))
    }

    /// Parses a caller's id, which must match `[A-Za-z0-9._-]{1,128}`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A narrow alphabet, because the id is copied into logs and headers.
        let is_valid = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_valid.then(|| Self(RequestIdText::FromCaller(text.into())))
    }

    /// Returns the text of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // ASCII by construction, so the default is never used.
            RequestIdText::Generated(text) => str::from_utf8(text).unwrap_or_default(),
            RequestIdText::FromCaller(text) => text,
        }
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        // A caller may repeat a generated id.
        self.as_str() == other.as_str()
    }
}

impl Eq for RequestId {}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
