//! Eligibility rules of session starts. Pure.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ids::UserId, sessions::rules::SessionSettings};

/// The user of a start.
#[derive(Debug, Clone)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The plan, if any.
    pub plan: Option<String>,
    /// The level, if any.
    pub level: Option<String>,
}

/// The history of a user in the database.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// End or expiry of the last session; `None` before the first.
    pub last_ended_at: Option<DateTime<Utc>>,
    /// Number of starts in the current UTC day.
    pub started_today: i64,
}

/// A reason why a user cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum IneligibleReason {
    /// The account has no plan.
    PlanRequired,
    /// The level is not allowed.
    LevelNotAllowed,
    /// The cooldown after the last session is not over.
    Cooldown {
        /// End of the cooldown.
        retry_at: DateTime<Utc>,
    },
    /// The daily maximum is reached.
    DailyLimit {
        /// Start of the next UTC day.
        retry_at: DateTime<Utc>,
    },
}

impl IneligibleReason {
    /// Returns the code, as in responses.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PlanRequired => "plan_required",
            Self::LevelNotAllowed => "level_not_allowed",
            Self::Cooldown { .. } => "cooldown",
            Self::DailyLimit { .. } => "daily_limit",
        }
    }
}

/// The bounds on a user's history for a start.
///
/// The insert of the session verifies the bounds in the statement that reads the history, so that concurrent starts
/// cannot exceed the bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The last session must have ended until then.
    pub ended_by: DateTime<Utc>,
    /// Start of the UTC day.
    pub day_start: DateTime<Utc>,
    /// Maximum number of starts since the start of the day.
    pub max_today: i64,
}

impl Bounds {
    /// Returns the bounds at `now`.
    #[must_use]
    pub fn at(now: DateTime<Utc>, settings: &SessionSettings) -> Self {
        Self {
            ended_by: now - TimeDelta::minutes(settings.cooldown_minutes),
            // UTC, so that the day is the same on all instances.
            day_start: now.date_naive().and_time(NaiveTime::MIN).and_utc(),
            max_today: settings.max_sessions_per_day,
        }
    }
}

/// Returns the reasons against a start that depend on the account alone, by the user's `plan` and `level`.
pub(super) fn check_account(
    plan: Option<&str>,
    level: Option<&str>,
    settings: &SessionSettings,
) -> Vec<IneligibleReason> {
    let mut reasons = Vec::new();
    // An identity provider may send a blank claim for a missing plan.
    let has_plan = plan.is_some_and(|plan| !plan.trim().is_empty());
    if settings.require_plan && !has_plan {
        reasons.push(IneligibleReason::PlanRequired);
    }
    let levels = &settings.allowed_levels;
    let is_allowed = level.is_some_and(|level| levels.iter().any(|item| item == level));
    // An empty list allows every level.
    if !levels.is_empty() && !is_allowed {
        reasons.push(IneligibleReason::LevelNotAllowed);
    }
    reasons
}

/// Returns the reasons against a start that depend on the history.
#[must_use]
pub fn check_history(
    history: &History,
    bounds: &Bounds,
    settings: &SessionSettings,
) -> Vec<IneligibleReason> {
    let mut reasons = Vec::new();
    // Strict, so a start exactly at `retry_at` succeeds.
    if let Some(ended_at) = history.last_ended_at.filter(|ended_at| *ended_at > bounds.ended_by) {
        let retry_at = ended_at + TimeDelta::minutes(settings.cooldown_minutes);
        reasons.push(IneligibleReason::Cooldown { retry_at });
    }
    if history.started_today >= bounds.max_today {
        reasons.push(IneligibleReason::DailyLimit { retry_at: bounds.day_start + Days::new(1) });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SessionSettings {
        SessionSettings {
            revision: 1,
            cooldown_minutes: 30,
            max_sessions_per_day: 2,
            require_plan: true,
            allowed_levels: vec!["senior".to_owned()],
            prompt_id: "pmpt_a".to_owned(),
            prompt_version: "1".to_owned(),
            instructions: None,
            model: "m".to_owned(),
            session_max_minutes: 30,
        }
    }

    #[test]
    fn all_reasons_are_returned() {
        assert_eq!(
            check_account(Some(" "), Some("seniors"), &settings()),
            [IneligibleReason::PlanRequired, IneligibleReason::LevelNotAllowed]
        );
        assert!(check_account(Some("pro"), Some("senior"), &settings()).is_empty());
    }

    #[test]
    fn a_code_is_the_code_of_the_response() {
        let retry_at = DateTime::UNIX_EPOCH;
        let reasons = [
            IneligibleReason::PlanRequired,
            IneligibleReason::LevelNotAllowed,
            IneligibleReason::Cooldown { retry_at },
            IneligibleReason::DailyLimit { retry_at },
        ];
        for reason in reasons {
            assert_eq!(serde_json::to_value(&reason).unwrap()["code"], reason.code());
        }
    }

    #[test]
    fn an_empty_list_allows_every_level() {
        let open =
            SessionSettings { allowed_levels: Vec::new(), require_plan: false, ..settings() };
        assert!(check_account(None, None, &open).is_empty());
    }

    #[test]
    fn the_cooldown_ends_at_retry_at() {
        let now: DateTime<Utc> = "2026-11-22T10:00:00Z".parse().unwrap();
        let bounds = Bounds::at(now, &settings());
        let ended = |minutes| History {
            last_ended_at: Some(now - TimeDelta::minutes(minutes)),
            started_today: 1,
        };
        assert!(check_history(&ended(30), &bounds, &settings()).is_empty());
        let retry_at = now + TimeDelta::minutes(1);
        assert_eq!(
            check_history(&ended(29), &bounds, &settings()),
            [IneligibleReason::Cooldown { retry_at }]
        );
    }

    #[test]
    fn the_daily_maximum_counts_the_utc_day() {
        let now: DateTime<Utc> = "2026-11-22T23:59:59Z".parse().unwrap();
        let bounds = Bounds::at(now, &settings());
        assert_eq!(bounds.day_start, "2026-11-22T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
        let history = History { last_ended_at: None, started_today: 2 };
        let retry_at = "2026-11-23T00:00:00Z".parse().unwrap();
        assert_eq!(
            check_history(&history, &bounds, &settings()),
            [IneligibleReason::DailyLimit { retry_at }]
        );
    }
}
