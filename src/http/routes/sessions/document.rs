//! Sessions on the wire.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    http::problem::Problem,
    sessions::{Arm, Assignment, MintedSecret, Outcome, Session, Status},
};

/// A session with pinned settings.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(in crate::http) struct SessionDocument {
    session_id: Uuid,
    user_id: String,
    status: Status,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// The time of the end or of the expiry.
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    config: Pinned,
    /// How the session went, as reported with its end.
    #[schema(required)]
    outcome: Option<Outcome>,
    /// The arm of the session in the rollout that ran at the start; null if none ran.
    #[schema(required)]
    rollout: Option<RolloutArm>,
    /// The client's secret, in the response of the start alone; null everywhere else.
    #[schema(required)]
    realtime: Option<ClientSecret>,
}

impl SessionDocument {
    /// Returns a new session, with the client's secret, if any.
    pub(super) fn started(session: Session, realtime: Option<MintedSecret>) -> Self {
        Self { realtime: realtime.map(ClientSecret::from), ..Self::from(session) }
    }

    /// Adds the reason of the arm.
    pub(super) fn set_assignment(&mut self, assignment: Option<Assignment>) {
        if let Some((rollout, Assignment { stage, bucket })) = self.rollout.as_mut().zip(assignment)
        {
            rollout.stage = stage;
            rollout.bucket = Some(bucket);
        }
    }
}

/// The realtime provider's secret for a client.
#[derive(Serialize, ToSchema)]
struct ClientSecret {
    /// The secret.
    #[schema(example = "ek_68af296e8e408191a1120ab6383263c2")]
    client_secret: String,
    /// The expiry of the secret.
    expires_at: DateTime<Utc>,
}

impl From<MintedSecret> for ClientSecret {
    fn from(minted: MintedSecret) -> Self {
        // The client needs the plain secret; any other output of the type is redacted.
        let client_secret = minted.client_secret.expose().to_owned();
        Self { client_secret, expires_at: minted.expires_at }
    }
}

/// The pinned settings of a session.
#[derive(Serialize, ToSchema)]
#[schema(as = PinnedSettings)]
struct Pinned {
    revision: i64,
    prompt_id: String,
    prompt_version: String,
    model: String,
    session_max_minutes: i32,
    /// The number of the proposal if the session has the values of the candidate of a rollout; null if the session has
    /// the settings of the revision alone.
    #[schema(required)]
    proposal: Option<i64>,
}

/// The arm of a session in a rollout.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionRollout)]
pub(super) struct RolloutArm {
    /// The number of the proposal.
    proposal: i64,
    /// Whether the session has the values of the proposal.
    candidate: bool,
    /// The share of the candidate at the start, in percent.
    share: i32,
    /// The stage at the start, from 1; for administrators, in the session with its settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<i64>,
    /// The bucket of the user, from 0 to 9,999: a candidate if less than a hundred times the share. Shown where
    /// `stage` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<u16>,
}

impl From<Arm> for RolloutArm {
    fn from(arm: Arm) -> Self {
        let Arm { proposal_number, is_candidate, share_bp, .. } = arm;
        // The shares of a plan are percents.
        let share = share_bp / 100;
        let (proposal, candidate) = (proposal_number, is_candidate);
        Self { proposal, candidate, share, stage: None, bucket: None }
    }
}

impl From<Session> for SessionDocument {
    fn from(session: Session) -> Self {
        let arm = session.arm.as_ref();
        Self {
            session_id: session.id,
            user_id: session.user_id,
            status: session.status,
            started_at: session.started_at,
            expires_at: session.expires_at,
            ended_at: session.ended_at,
            config: Pinned {
                revision: session.settings_revision,
                prompt_id: session.prompt_id,
                prompt_version: session.prompt_version,
                model: session.model,
                session_max_minutes: session.session_max_minutes,
                proposal: arm.filter(|arm| arm.is_candidate).map(|arm| arm.proposal_number),
            },
            outcome: session.outcome,
            rollout: session.arm.map(RolloutArm::from),
            // The secret is never stored, so only the start can return a secret.
            realtime: None,
        }
    }
}

/// Reads the id of a session.
///
/// # Errors
/// No session can have the id.
pub(super) fn session_id(text: &str) -> Result<Uuid, Problem> {
    // A malformed id is a 404 like an unknown id: clients handle a single case.
    Uuid::parse_str(text).map_err(|_| Problem::not_found("no session has this id"))
}
