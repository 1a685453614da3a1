//! Messages, their topics and their state.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{pagination, text::string_enum};

string_enum! {
    /// The event that a message reports.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Topic {
        /// A change set was committed by PATCH, PUT or DELETE.
        SettingsChanged = "settings.changed",
        /// A rollback was committed.
        SettingsRolledBack = "settings.rolled_back",
        /// An import was committed.
        SettingsImported = "settings.imported",
        /// A write was rejected: a locked key or a possible secret.
        SettingsRefused = "settings.refused",
        /// A proposal or a new edition was written.
        ProposalWritten = "proposal.written",
        /// A verdict was given.
        ProposalJudged = "proposal.judged",
        /// A proposal was applied with its approvals, was withdrawn, or failed.
        ProposalSettled = "proposal.settled",
        /// Settings were changed without the approvals, in an emergency that nobody else has acknowledged.
        ProposalBypassed = "proposal.bypassed",
        /// A rollout began, was widened, held, resumed or reverted, or its change was applied for everybody.
        RolloutMoved = "rollout.moved",
        /// All session starts were stopped, or resumed.
        StartsStopped = "starts.stopped",
        /// A session became active.
        SessionStarted = "session.started",
        /// A session was ended before it expired.
        SessionEnded = "session.ended",
        /// A session expired.
        SessionExpired = "session.expired",
        /// Secrets were removed from the database.
        SecretsCleaned = "secrets.cleaned",
        /// An instance is unhealthy or has stopped sending heartbeats.
        InstanceUnhealthy = "instance.unhealthy",
    }
}

string_enum! {
    /// The state of a message at a sink.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Status {
        /// The message is not delivered yet.
        Waiting = "waiting",
        /// The sink accepted the message.
        Delivered = "delivered",
        /// Delivery was abandoned.
        Dead = "dead",
    }
}

/// Selects messages; a field that is `None` selects all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The state.
    pub status: Option<Status>,
    /// The name of the sink.
    pub sink: Option<String>,
    /// The topic.
    pub topic: Option<Topic>,
}

impl pagination::Filter for Filter {
    // Part of the tag of a cursor: a cursor of another list is rejected.
    const LIST: &'static str = "outbox";
    type Position = i64;
}

/// A message to another service.
#[derive(Debug, Clone)]
pub struct Message {
    /// The id, the same at every sink and for every attempt.
    pub id: Uuid,
    /// The name of the [`Topic`]; another release may have stored an unknown topic.
    pub topic: String,
    /// The content; never a secret.
    pub payload: Value,
    /// When the message was stored, by the database's clock.
    pub at: DateTime<Utc>,
    /// Whether the catalog declares sessions.
    pub has_sessions: bool,
    /// The number of active sessions with settings from before the reported change, counted on delivery.
    pub older_sessions: Option<i64>,
}

/// The topics of a sink.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The name of the sink, under which messages are stored.
    pub sink: String,
    /// The topics.
    pub topics: Vec<Topic>,
}
