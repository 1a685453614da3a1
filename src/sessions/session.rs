//! Sessions, stored and not yet stored.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::sessions::{eligibility::User, rules::SessionSettings};

/// The status of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionStatus)]
pub enum Status {
    /// Waiting for the realtime provider.
    Starting,
    /// Running.
    Active,
    /// Ended by a user, an administrator or a service.
    Ended,
    /// Ended by the maximum duration.
    Expired,
    /// Never running: the provider or the starting instance failed. Does not count for limits.
    Failed,
}

impl Status {
    /// All statuses.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Active, Self::Ended, Self::Expired, Self::Failed];

    /// Returns the name in the database and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::Failed => "failed",
        }
    }

    /// Parses the name of a status.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A session with the settings of the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id.
    pub id: Uuid,
    /// The user.
    pub user_id: String,
    /// The user's plan at the start.
    pub plan: Option<String>,
    /// The user's level at the start.
    pub level: Option<String>,
    /// The status.
    pub status: Status,
    /// Time of the start.
    pub started_at: DateTime<Utc>,
    /// Latest possible end.
    pub expires_at: DateTime<Utc>,
    /// Time of the end.
    pub ended_at: Option<DateTime<Utc>>,
    /// The revision of the settings.
    pub settings_revision: i64,
    /// The prompt.
    pub prompt_id: String,
    /// The version of the prompt.
    pub prompt_version: String,
    /// The model.
    pub model: String,
    /// Maximum duration in minutes.
    pub session_max_minutes: i32,
    /// The realtime provider's id of the session.
    pub provider_session_id: Option<String>,
    /// The provider's id of the request for the client secret.
    pub provider_request_id: Option<String>,
    /// The administrator who ended the session.
    pub ended_by: Option<String>,
    /// The administrator's reason.
    pub end_reason: Option<String>,
}

impl Session {
    /// Returns the payload of messages about the session, without secrets.
    pub(super) fn payload(&self) -> serde_json::Value {
        json!({
            "session_id": self.id,
            "user_id": self.user_id,
            "revision": self.settings_revision,
            "model": self.model,
            "prompt_id": self.prompt_id,
            "prompt_version": self.prompt_version,
            "started_at": self.started_at,
            "expires_at": self.expires_at,
        })
    }
}

/// A session that is not stored yet.
pub(super) struct Candidate {
    pub(super) id: Uuid,
    pub(super) user: User,
    pub(super) started_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) settings: Arc<SessionSettings>,
    pub(super) idempotency: Option<Idempotency>,
    /// Whether the session becomes active only after a second step.
    pub(super) in_two_steps: bool,
}

pub(super) struct Idempotency {
    pub(super) key: String,
    pub(super) digest: Vec<u8>,
}

impl Candidate {
    /// Returns the session after the insert.
    pub(super) fn session(&self) -> Session {
        let settings = &self.settings;
        Session {
            id: self.id,
            user_id: self.user.id.as_str().to_owned(),
            plan: self.user.plan.clone(),
            level: self.user.level.clone(),
            status: if self.in_two_steps { Status::Starting } else { Status::Active },
            started_at: self.started_at,
            expires_at: self.expires_at,
            ended_at: None,
            settings_revision: settings.revision,
            prompt_id: settings.prompt_id.clone(),
            prompt_version: settings.prompt_version.clone(),
            model: settings.model.clone(),
            session_max_minutes: settings.session_max_minutes,
            provider_session_id: None,
            provider_request_id: None,
            ended_by: None,
            end_reason: None,
        }
    }

    /// Returns the idempotency key and the digest of the request.
    pub(super) fn idempotency(&self) -> (Option<&str>, Option<&[u8]>) {
        self.idempotency
            .as_ref()
            .map(|idempotency| (idempotency.key.as_str(), idempotency.digest.as_slice()))
            .unzip()
    }
}
