//! The answer of a what-if. Pure.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A number that depends on the unknown length of newly admitted sessions: from none to the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WhatIfRange)]
pub struct Range {
    /// The least number.
    pub least: i64,
    /// The greatest number.
    pub most: i64,
}

/// A changed setting.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WhatIfChange)]
pub struct ChangedSetting {
    /// The key.
    #[schema(example = "BRUNE_COOLDOWN_MINUTES")]
    pub key: String,
    /// The current value; null without a value.
    #[schema(required)]
    pub old_value: Option<Value>,
    /// The value after the change.
    #[schema(required)]
    pub new_value: Option<Value>,
}

/// The attempts with one reason, plan or level.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WhatIfGroup)]
pub struct Group {
    /// The reason, plan or level; null for users without, `(others)` for the rest of a long list.
    #[schema(required)]
    pub name: Option<String>,
    /// The number of attempts.
    pub attempts: Range,
}

/// The attempts with another decision. An attempt with several reasons is in several groups.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WhatIfDecisions)]
pub struct Decisions {
    /// The number of attempts.
    pub attempts: Range,
    /// The attempts by reason, most frequent first; `session_active` for an attempt during a newly admitted session.
    pub by_reason: Vec<Group>,
    /// The attempts by plan.
    pub by_plan: Vec<Group>,
    /// The attempts by level.
    pub by_level: Vec<Group>,
}

/// The sessions that end earlier.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WhatIfCut)]
pub struct Cut {
    /// The number of sessions.
    pub sessions: Range,
    /// The minutes after their new ends.
    pub minutes: Range,
}

/// How an attempt differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WhatIfDifference)]
pub enum Difference {
    /// Started as recorded, refused after the change.
    NewlyRefused,
    /// Refused as recorded, admitted after the change.
    NewlyAdmitted,
    /// The session ends earlier.
    CutShorter,
}

/// An attempt that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WhatIfExample)]
pub struct Example {
    /// The difference.
    pub difference: Difference,
    /// The user.
    pub user_id: String,
    /// The plan.
    #[schema(required)]
    pub plan: Option<String>,
    /// The level.
    #[schema(required)]
    pub level: Option<String>,
    /// The time of the attempt.
    pub at: DateTime<Utc>,
    /// The revision of the recorded decision.
    pub revision: i64,
    /// The reasons of the new refusal, or of the recorded refusal of a newly admitted attempt.
    pub reasons: Vec<String>,
    /// The minutes that the session loses.
    #[schema(required)]
    pub minutes: Option<i64>,
}

/// What a change would have done to the recorded attempts to start a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhatIf {
    /// The beginning of the replayed window.
    pub since: DateTime<Utc>,
    /// The end of the replayed window.
    pub until: DateTime<Utc>,
    /// The current revision, to which the change was applied.
    pub revision: i64,
    /// The settings that the change gives another value.
    pub changed: Vec<ChangedSetting>,
    /// The replayed attempts.
    pub attempts: i64,
    /// The attempts whose decision the recorded settings give again. The others keep their recorded decision.
    pub reproduced_attempts: i64,
    /// The share of reproduced attempts, from 0 to 1; null without attempts.
    #[schema(required, example = 0.999)]
    pub reproduced: Option<f64>,
    /// The attempts that would have been refused.
    pub newly_refused: Decisions,
    /// The attempts that would have been admitted.
    pub newly_admitted: Decisions,
    /// The sessions that would have ended earlier.
    pub cut_shorter: Cut,
    /// The minutes of all sessions as recorded.
    pub minutes_before: i64,
    /// The minutes of all sessions after the change.
    pub minutes_after: Range,
    /// The most sessions at one time as recorded.
    pub peak_before: i64,
    /// The most sessions at one time after the change.
    pub peak_after: Range,
    /// Up to 20 attempts that differ, of different users.
    pub examples: Vec<Example>,
    /// What the replay cannot say about this change.
    pub unknown: Vec<String>,
    /// What limits the trust in the answer.
    pub warnings: Vec<String>,
    /// The limits that were reached: `attempts` (200,000), so that the window begins later than requested, or `time`, so
    /// that a random sample of the users was replayed.
    #[schema(example = json!(["attempts"]))]
    pub limits_reached: Vec<&'static str>,
}
