//! Retry after concurrent changes.

/// A retry policy for operations that fail when the data they read changes meanwhile: no pause, since a conflict means
/// that another operation succeeded.
#[derive(Debug, Default)]
pub struct ConflictRetry {
    attempts: u8,
}

impl ConflictRetry {
    /// The maximum number of attempts.
    pub const LIMIT: u8 = 8;

    /// Begins the next attempt. Returns `false` after [`Self::LIMIT`] attempts.
    pub fn begin_attempt(&mut self) -> bool {
        let is_left = self.attempts < Self::LIMIT;
        self.attempts += u8::from(is_left);
        is_left
    }
}
