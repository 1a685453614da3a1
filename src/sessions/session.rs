//! Sessions, stored and not yet stored.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    pagination,
    sessions::{eligibility::User, rules::SessionSettings},
    text::string_enum,
};

string_enum! {
    /// The state of a session.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = SessionStatus)]
    pub enum Status {
        /// The realtime provider is being called.
        Starting = "starting",
        /// The session is active.
        Active = "active",
        /// The session was ended before it expired.
        Ended = "ended",
        /// The session expired.
        Expired = "expired",
        /// The start failed, at the provider or in the instance; the session counts towards no limit.
        Failed = "failed",
    }
}

string_enum! {
    /// How a session went, as reported with its end.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
    #[serde(rename_all = "snake_case")]
    #[schema(as = SessionOutcome)]
    pub enum Outcome {
        /// The session was of no use to the user.
        Failed = "failed",
    }
}

/// Selects sessions; a field that is `None` selects all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The current state.
    pub status: Option<Status>,
    /// The user.
    pub user_id: Option<String>,
    /// The revision of the settings.
    pub revision: Option<i64>,
}

impl pagination::Filter for Filter {
    // Part of the tag of a cursor: a cursor of another list is rejected.
    const LIST: &'static str = "sessions";
    type Position = Uuid;
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
    /// The reported outcome.
    pub outcome: Option<Outcome>,
    /// The arm of the session; `None` if no rollout ran at the start.
    pub arm: Option<Arm>,
}

/// The arm of a session that started while a rollout ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The id of the proposal that was rolled out.
    pub proposal: Uuid,
    /// The number of the proposal.
    pub proposal_number: i64,
    /// Whether the session has the values of the proposal.
    pub is_candidate: bool,
    /// The share of the candidate at the start, in basis points.
    pub share_bp: i32,
}

impl Arm {
    /// Returns the values of the columns `proposal`, `candidate` and `share_bp`.
    pub(super) fn columns(arm: Option<&Self>) -> (Option<Uuid>, Option<bool>, Option<i32>) {
        let columns = |arm: &Self| (arm.proposal, arm.is_candidate, arm.share_bp);
        match arm.map(columns) {
            Some((proposal, is_candidate, share_bp)) => {
                (Some(proposal), Some(is_candidate), Some(share_bp))
            }
            None => (None, None, None),
        }
    }
}

impl Session {
    /// Whether the session has the values of a proposal that was rolled out.
    #[must_use]
    pub fn is_candidate(&self) -> bool {
        self.arm.as_ref().is_some_and(|arm| arm.is_candidate)
    }

    /// Returns the payload of messages about the session, without secrets.
    pub(super) fn payload(&self) -> serde_json::Value {
        // `brune_session_over` in the migrations builds the same members for expired sessions.
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
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) id: Uuid,
    pub(super) user: User,
    pub(super) started_at: DateTime<Utc>,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) settings: Arc<SessionSettings>,
    /// The epoch of session starts that the start has read.
    pub(super) epoch: i64,
    pub(super) arm: Option<Arm>,
    pub(super) idempotency: Option<Idempotency>,
    /// Whether the session becomes active only after a second step.
    pub(super) in_two_steps: bool,
}

#[derive(Debug)]
pub(super) struct Idempotency {
    pub(super) key: String,
    pub(super) digest: Vec<u8>,
}

impl NewSession {
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
            // Known only after the call of the provider.
            provider_session_id: None,
            provider_request_id: None,
            ended_by: None,
            end_reason: None,
            outcome: None,
            arm: self.arm.clone(),
        }
    }

    /// Whether `stored` has the settings of this session.
    pub(super) fn is_stored_as(&self, stored: &Session) -> bool {
        self.settings.revision == stored.settings_revision && self.arm == stored.arm
    }

    /// Returns the idempotency key and the digest of the request.
    pub(super) fn idempotency(&self) -> (Option<&str>, Option<&[u8]>) {
        self.idempotency
            .as_ref()
            .map(|idempotency| (idempotency.key.as_str(), idempotency.digest.as_slice()))
            .unzip()
    }
}
