//! May this user start now? Pure.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{ids::UserId, sessions::rules::SessionSettings};

/// Who wants to start.
#[derive(Debug, Clone)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Their plan, if they have one.
    pub plan: Option<String>,
    /// Their level.
    pub level: Option<String>,
}

/// What the database knows of a user when they want to start.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When their last session ended, or expired; `None` before the first.
    pub last_ended_at: Option<DateTime<Utc>>,
    /// How many they started this UTC day.
    pub started_today: i64,
}

/// One reason why a user may not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum IneligibleReason {
    /// Their account has no plan.
    PlanRequired,
    /// Their level is not among those allowed.
    LevelNotAllowed,
    /// Their last session ended too short a time ago.
    Cooldown {
        /// When the next may start.
        retry_at: DateTime<Utc>,
    },
    /// They started as many as a day allows.
    DailyLimit {
        /// When the next day begins.
        retry_at: DateTime<Utc>,
    },
}

/// The bounds of a user's history within which a start is allowed; the insert of the session holds the
/// database to them in the same statement that reads the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The last session must have ended by then.
    pub ended_by: DateTime<Utc>,
    /// When the UTC day began.
    pub day_start: DateTime<Utc>,
    /// Fewer than this many starts since.
    pub max_today: i64,
}

impl Bounds {
    /// The bounds at `now`.
    pub fn at(now: DateTime<Utc>, settings: &SessionSettings) -> Self {
        Self {
            ended_by: now - TimeDelta::minutes(settings.cooldown_minutes),
            day_start: now.date_naive().and_time(NaiveTime::MIN).and_utc(),
            max_today: settings.max_sessions_per_day,
        }
    }
}

/// Why `user` may not start whatever they did before; empty when they may.
pub(super) fn check_account(user: &User, settings: &SessionSettings) -> Vec<IneligibleReason> {
    let mut refusals = Vec::new();
    let has_plan = user.plan.as_ref().is_some_and(|plan| !plan.trim().is_empty());
    if settings.require_plan && !has_plan {
        refusals.push(IneligibleReason::PlanRequired);
    }
    let allowed = &settings.allowed_levels;
    let is_allowed = user.level.as_ref().is_some_and(|level| allowed.contains(level));
    if !allowed.is_empty() && !is_allowed {
        refusals.push(IneligibleReason::LevelNotAllowed);
    }
    refusals
}

/// Why a user with this history may not start now; empty when they may.
#[must_use]
pub fn check_history(
    history: &History,
    bounds: &Bounds,
    settings: &SessionSettings,
) -> Vec<IneligibleReason> {
    let mut refusals = Vec::new();
    if let Some(ended_at) = history.last_ended_at.filter(|it| bounds.ended_by < *it) {
        let retry_at = ended_at + TimeDelta::minutes(settings.cooldown_minutes);
        refusals.push(IneligibleReason::Cooldown { retry_at });
    }
    if bounds.max_today <= history.started_today {
        refusals.push(IneligibleReason::DailyLimit { retry_at: bounds.day_start + Days::new(1) });
    }
    refusals
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

    fn user(plan: Option<&str>, level: Option<&str>) -> User {
        let text = |it: Option<&str>| it.map(str::to_owned);
        User { id: UserId::parse("u").unwrap(), plan: text(plan), level: text(level) }
    }

    #[test]
    fn every_reason_is_told() {
        assert_eq!(
            check_account(&user(Some(" "), Some("seniors")), &settings()),
            [IneligibleReason::PlanRequired, IneligibleReason::LevelNotAllowed]
        );
        assert!(check_account(&user(Some("pro"), Some("senior")), &settings()).is_empty());
    }

    #[test]
    fn no_level_is_asked_for_when_none_is_listed() {
        let open =
            SessionSettings { allowed_levels: Vec::new(), require_plan: false, ..settings() };
        assert!(check_account(&user(None, None), &open).is_empty());
    }

    #[test]
    fn the_cooldown_is_over_at_the_minute_it_says() {
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
