//! Filters of the session listing.

use crate::sessions::session::Status;

/// A filter of sessions; `None` matches all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The current status.
    pub status: Option<Status>,
    /// The user.
    pub user_id: Option<String>,
    /// The revision of the settings.
    pub revision: Option<i64>,
}
