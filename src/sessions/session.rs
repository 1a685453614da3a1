//! A session: as it is to be stored, and as it is.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::sessions::{eligibility::User, rules::SessionSettings};

/// Whether a session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionStatus)]
pub enum Status {
    /// It runs.
    Active,
    /// It was ended.
    Ended,
    /// It ran as long as it might.
    Expired,
}

/// A session with the settings it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: String,
    /// Whether it runs.
    pub status: Status,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The revision of the settings it keeps.
    pub settings_revision: i64,
    /// The prompt it speaks with.
    pub prompt_id: String,
    /// Its version.
    pub prompt_version: String,
    /// The model it speaks through.
    pub model: String,
    /// Minutes it may last.
    pub session_max_minutes: i32,
}

/// A session that is not stored yet.
pub(super) struct Candidate {
    pub(super) id: Uuid,
    pub(super) user: User,
    pub(super) started_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) idempotency: Option<Idempotency>,
}

pub(super) struct Idempotency {
    pub(super) key: String,
    pub(super) digest: Vec<u8>,
}

impl Candidate {
    /// The session that it becomes.
    pub(super) fn session(&self) -> Session {
        let settings = &self.settings;
        Session {
            id: self.id,
            user_id: self.user.id.as_str().to_owned(),
            status: Status::Active,
            started_at: self.started_at,
            expires_at: self.expires_at,
            ended_at: None,
            settings_revision: settings.revision,
            prompt_id: settings.prompt_id.clone(),
            prompt_version: settings.prompt_version.clone(),
            model: settings.model.clone(),
            session_max_minutes: settings.session_max_minutes,
        }
    }
}
