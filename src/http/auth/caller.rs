//! The subject of a verified token.

use chrono::{DateTime, Utc};

use crate::ids::UserId;

/// The role that may read and change settings.
pub const SUPER_ADMIN: &str = "SUPER_ADMIN";

/// The user whom a valid token identifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token.
    pub user: UserId,
    /// The user's plan, if the token has a plan.
    pub plan: Option<String>,
    /// The user's level, if the token has a level.
    pub level: Option<String>,
    /// Whether the user has the role [`SUPER_ADMIN`].
    pub is_admin: bool,
    /// Whether somebody else acts for the user: the token has an `act` claim (RFC 8693, 4.1).
    pub is_delegated: bool,
    /// When the token expires.
    pub until: DateTime<Utc>,
}
