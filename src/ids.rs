//! Identifiers, each its own type, so that no two can be swapped.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

/// Who acts: the `sub` of a token, or the user an internal caller names. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Longest identifier taken, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// The user called `name`; `None` when it is empty, longer than [`Self::MAX_BYTES`] or holds a
    /// control character.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fits = !name.trim().is_empty() && name.len() <= Self::MAX_BYTES;
        (fits && !name.chars().any(char::is_control)).then(|| Self(name.to_owned()))
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
