//! Times on the command line.

use chrono::DateTime;

/// Checks that `text` is a time with an offset, and returns the text.
pub(super) fn parse_time(text: &str) -> Result<String, &'static str> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("must be an RFC 3339 time with an offset, such as 2027-01-01T02:00:00Z"),
    }
}
