//! Cooldown and daily maximum: SQL decides, and Rust explains the decision. Both get the same random histories.

use std::{num::NonZeroU32, time::Duration};

use brune::{
    ids::{RequestId, UserId},
    metrics::Metrics,
    outbox::Outbox,
    sessions::{
        self, Bounds, Error, History, IneligibleReason, SessionSettings, SessionStarter, User,
        check_history,
    },
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::json;
use sqlx::PgPool;

use crate::support::{TestApp, wait::deadline_after};

const CASES_PER_SETTINGS: usize = 60;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// How a session of the history ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Ended,
    Expired,
    /// Past its end, and not marked yet.
    Unmarked,
    Failed,
    /// Still `starting`, long after its instance died.
    Abandoned,
}

#[derive(Debug, Clone)]
struct PastSession {
    started_at: DateTime<Utc>,
    end: DateTime<Utc>,
    how: End,
}

impl PastSession {
    fn counts(&self) -> bool {
        !matches!(self.how, End::Failed | End::Abandoned)
    }
}

/// A user's sessions, newest first, and the time of the next start.
#[derive(Debug, Clone)]
struct Case {
    now: DateTime<Utc>,
    sessions: Vec<PastSession>,
}

impl Case {
    fn history(&self, bounds: &Bounds) -> History {
        let counted = || self.sessions.iter().filter(|session| session.counts());
        let started_today = counted().filter(|session| session.started_at >= bounds.day_start);
        History {
            last_ended_at: counted().next().map(|session| session.end),
            started_today: i64::try_from(started_today.count()).unwrap(),
        }
    }
}

/// Microseconds, at and around `bound` more often than anywhere else.
fn around(bound: i64) -> impl Strategy<Value = i64> {
    let near = (bound - 1).max(0)..=bound + 1;
    prop_oneof![near, 0..=bound.max(1) * 2, Just(0)]
}

fn cases(cooldown_minutes: i64) -> impl Strategy<Value = Case> {
    let how = prop_oneof![
        3 => Just(End::Ended),
        2 => Just(End::Expired),
        1 => Just(End::Unmarked),
        1 => Just(End::Failed),
        1 => Just(End::Abandoned),
    ];
    let session = (around(cooldown_minutes * MINUTE), 1..=30 * MINUTE, how);
    let time_of_day = prop_oneof![around(30 * MINUTE), DAY - 2..DAY, 0..DAY];
    (time_of_day, prop::collection::vec(session, 0..6)).prop_map(|(time_of_day, parts)| {
        let midnight = "2027-01-15T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let now = midnight + TimeDelta::microseconds(time_of_day % DAY);
        let mut sessions = Vec::new();
        let mut next_start = now;
        for (index, (gap, length, how)) in parts.into_iter().enumerate() {
            let end = next_start - TimeDelta::microseconds(gap);
            let started_at = end - TimeDelta::microseconds(length);
            // The unique index allows one session that is not over, and only the newest one can be that.
            let is_open = matches!(how, End::Unmarked | End::Abandoned);
            let how = if is_open && index > 0 { End::Expired } else { how };
            sessions.push(PastSession { started_at, end, how });
            next_start = started_at;
        }
        Case { now, sessions }
    })
}

async fn insert(pool: &PgPool, user: &UserId, session: &PastSession) {
    let PastSession { started_at, end, how } = session;
    let ended_at = (!matches!(how, End::Unmarked | End::Abandoned)).then_some(*end);
    let (status, expires_at) = match how {
        // Ended early: the end counts, not the time of expiry.
        End::Ended => ("ended", *end + TimeDelta::minutes(10)),
        End::Expired => ("expired", *end),
        End::Unmarked => ("active", *end),
        End::Failed => ("failed", *end + TimeDelta::minutes(10)),
        End::Abandoned => ("starting", *end + TimeDelta::minutes(10)),
    };
    let starting_until = (*how == End::Abandoned).then_some(DateTime::UNIX_EPOCH);
    sqlx::query(
        "insert into brune_session (id, user_id, status, started_at, expires_at, ended_at, starting_until,
           settings_revision, prompt_id, prompt_version, model, session_max_minutes)
         values (gen_random_uuid(), $1, $2, $3, $4, $5, $6, 1, 'pmpt', '1', 'm', 30)",
    )
    .bind(user.as_str())
    .bind(status)
    .bind(started_at)
    .bind(expires_at)
    .bind(ended_at)
    .bind(starting_until)
    .execute(pool)
    .await
    .unwrap();
}

/// Starts a session at the time of the case; returns the reasons of a refusal.
async fn start(app: &TestApp, user: UserId, now: DateTime<Utc>) -> Vec<IneligibleReason> {
    let starter =
        SessionStarter::new(None, None, NonZeroU32::MAX, Outbox::default(), Metrics::default());
    let request = sessions::Request {
        user: User { id: user, plan: Some("pro".to_owned()), level: None },
        idempotency_key: None,
        id: RequestId::new(),
        now,
        due: deadline_after(Duration::from_mins(1)),
    };
    match sessions::start(&starter, &app.instance.pool, &app.instance.settings, &request).await {
        Ok(_) => Vec::new(),
        Err(Error::NotEligible(reasons)) => reasons,
        Err(err) => panic!("{err}"),
    }
}

#[tokio::test]
async fn sql_and_rust_agree_on_cooldown_and_daily_maximum() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    let mut runner = TestRunner::deterministic();
    let mut refused = 0;
    for (version, (cooldown, max_per_day)) in (1..).zip([(45, 4), (0, 1), (240, 2)]) {
        let changes = [
            ("BRUNE_COOLDOWN_MINUTES", json!(cooldown), version),
            ("BRUNE_MAX_SESSIONS_PER_DAY", json!(max_per_day), version),
        ];
        let revision = app.instance.change(&changes).await.ok()["revision"].as_i64().unwrap();
        app.instance.wait_for_revision(revision).await;
        let settings = SessionSettings::read(&app.instance.settings.current()).unwrap();
        for number in 0..CASES_PER_SETTINGS {
            let case = cases(cooldown).new_tree(&mut runner).unwrap().current();
            let user = UserId::parse(&format!("user-{version}-{number}")).unwrap();
            for session in &case.sessions {
                insert(&pool, &user, session).await;
            }
            let bounds = Bounds::at(case.now, &settings);
            assert_eq!(bounds.day_start, case.now.date_naive().and_time(NaiveTime::MIN).and_utc());
            let explained = check_history(&case.history(&bounds), &bounds, &settings);
            let reasons = start(&app, user, case.now).await;
            assert_eq!(reasons, explained, "cooldown {cooldown}, maximum {max_per_day}: {case:#?}");
            refused += usize::from(!reasons.is_empty());
        }
    }
    // Both answers must occur often, or the comparison would mean little.
    assert!((30..=150).contains(&refused), "{refused} of 180 were refused");
}
