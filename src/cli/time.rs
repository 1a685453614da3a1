//! Times on the command line.

use crate::clock;

/// Checks that `text` is a time with an offset, and returns the text.
pub(super) fn parse_time(text: &str) -> Result<String, &'static str> {
    match clock::parse_time(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("must be an RFC 3339 time with an offset, such as 2027-01-01T02:00:00Z"),
    }
}
