//! Records of refused starts.

use std::num::NonZeroU32;

use brune::{http::Grant, sessions::forget_attempts};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::task::JoinSet;

use super::{end, time};
use crate::support::{Instance, TestApp, psql, services::Services, token, user, wait::wait_until};

/// A refusal as stored.
#[derive(Debug, PartialEq)]
struct Refusal {
    at: DateTime<Utc>,
    user: String,
    plan: Option<String>,
    level: Option<String>,
    codes: Vec<String>,
    revision: i64,
}

/// Returns the refusals, oldest first.
async fn refusals(app: &TestApp) -> Vec<Refusal> {
    let sql =
        "select at, user_id, plan, level, codes, revision from brune_start_refused order by at";
    let rows = sqlx::query(sql).fetch_all(&app.db.pool()).await.unwrap();
    let read = |row: sqlx::postgres::PgRow| Refusal {
        at: row.get(0),
        user: row.get(1),
        plan: row.get(2),
        level: row.get(3),
        codes: row.get(4),
        revision: row.get(5),
    };
    rows.into_iter().map(read).collect()
}

/// Makes every refusal a minute older, so that the next one has a minute of its own.
async fn pass_a_minute(app: &TestApp) {
    let sql = "update brune_start_refused set minute = minute - interval '1 minute'";
    psql::run(&app.db.pool(), sql).await;
}

/// A token of a user without a plan, at `level`.
fn without_plan(sub: &str, level: &str) -> String {
    let level = Some(level.to_owned());
    token(&Grant { sub: sub.to_owned(), level, ..Grant::default() })
}

#[tokio::test]
async fn refusals_by_account_and_by_history_are_recorded() {
    let app = TestApp::new().await;
    // The clock of the service: the rules compare it with the times of sessions.
    app.instance.shift.advance(TimeDelta::days(2));
    app.instance.start_session(&without_plan("ben", "junior")).await.problem(403, "not_eligible");
    let session = app.instance.start_session(&user("ana")).await.ok();
    end(&app.instance, &session, &user("ana")).await.ok();
    app.instance.change(&[("BRUNE_MAX_SESSIONS_PER_DAY", json!(1), 1)]).await.ok();
    app.instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    let refusals = refusals(&app).await;
    let [ben, ana] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert_eq!(
        (ben.user.as_str(), ben.plan.as_deref(), ben.level.as_deref()),
        ("ben", None, Some("junior"))
    );
    assert_eq!((ben.codes.as_slice(), ben.revision), (["plan_required".to_owned()].as_slice(), 1));
    assert_eq!(
        (ana.user.as_str(), ana.plan.as_deref(), ana.level.as_deref()),
        ("ana", Some("pro"), None)
    );
    assert_eq!((ana.codes.join(" "), ana.revision), ("cooldown daily_limit".to_owned(), 2));
    assert!(ana.at >= time(&session["started_at"]), "{ana:?}");
}

#[tokio::test]
async fn a_user_has_one_record_a_minute() {
    let app = TestApp::new().await;
    for _ in 0..5 {
        app.instance.start_session(&without_plan("ana", "x")).await.problem(403, "not_eligible");
    }
    app.instance.start_session(&without_plan("ben", "x")).await.problem(403, "not_eligible");
    // The five requests may begin in one minute and end in the next.
    let sql =
        "select count(*) from (select minute, user_id from brune_start_refused group by 1, 2) rows";
    let rows = psql::count(&app.db.pool(), sql).await;
    assert!((2..=3).contains(&rows), "{rows}");
    assert_eq!(psql::count(&app.db.pool(), "select count(*) from brune_start_refused").await, rows);
    pass_a_minute(&app).await;
    app.instance.start_session(&without_plan("ana", "x")).await.problem(403, "not_eligible");
    let later = psql::count(&app.db.pool(), "select count(*) from brune_start_refused").await;
    assert_eq!(later, rows + 1);
}

#[tokio::test]
async fn only_refusals_by_the_settings_are_recorded() {
    let app = TestApp::new().await;
    let per_minute = NonZeroU32::new(2).unwrap();
    let instance = Instance::builder(app.db.pool())
        .services(Services { per_minute, ..Services::default() })
        .without_listener()
        .start()
        .await;
    instance.start_session(&user("ana")).await.ok();
    instance.start_session(&user("ana")).await.problem(409, "session_active");
    instance.start_session(&user("ana")).await.problem(429, "rate_limited");
    for attempt in 0..4 {
        let code = if attempt < 2 { "not_eligible" } else { "rate_limited" };
        let status = if attempt < 2 { 403 } else { 429 };
        instance.start_session(&without_plan("ben", "x")).await.problem(status, code);
        pass_a_minute(&app).await;
    }
    // A repeat receives the stored session, and would be refused otherwise.
    let start = |key: &'static str| {
        let call = instance.post("/brun-e/start").bearer(&user("cat"));
        call.header("idempotency-key", key).send()
    };
    let session = start("one").await.ok();
    end(&instance, &session, &user("cat")).await.ok();
    start("one").await.ok();
    let users: Vec<_> = refusals(&app).await.into_iter().map(|refusal| refusal.user).collect();
    assert_eq!(users, ["ben", "ben"]);
}

#[tokio::test]
async fn a_refusal_that_cannot_be_recorded_is_answered_alike() {
    let app = TestApp::new().await;
    let body = |problem: Value| (problem["code"].clone(), problem["reasons"].clone());
    let ben = without_plan("ben", "x");
    let recorded = app.instance.start_session(&ben).await.problem(403, "not_eligible");
    psql::run(&app.db.owner(), "alter table brune_start_refused rename to away").await;
    let unrecorded = app.instance.start_session(&ben).await.problem(403, "not_eligible");
    assert_eq!(body(recorded), body(unrecorded));
    app.instance.start_session(&user("ana")).await.ok();
    psql::run(&app.db.owner(), "alter table away rename to brune_start_refused").await;
    // Longer than the user would wait: the record is given up.
    let mut lock = app.db.owner().begin().await.unwrap();
    sqlx::query("lock table brune_start_refused").execute(&mut *lock).await.unwrap();
    app.instance.start_session(&ben).await.problem(403, "not_eligible");
    lock.rollback().await.unwrap();
}

#[tokio::test]
async fn records_are_deleted_after_eight_days() {
    let app = TestApp::new().await;
    let sql = "insert into brune_start_refused (at, minute, user_id, codes, revision)
      select now(), now() - age * interval '1 day', 'user-' || n, '{cooldown}'::text[], 1
      from generate_series(1, 11000) n, (values (8.01)) ages (age)
      union all select now(), now() - interval '7.9 days', 'ana', '{cooldown}'::text[], 1";
    psql::run(&app.db.pool(), sql).await;
    let count =
        async || psql::count(&app.db.pool(), "select count(*) from brune_start_refused").await;
    // One step of the task deletes a bounded number of rows.
    for expected in [1001, 1] {
        let mut task = JoinSet::new();
        task.spawn(forget_attempts(app.instance.pool.clone()));
        wait_until("old records are deleted", async || count().await == expected).await;
        task.shutdown().await;
    }
}

#[tokio::test]
async fn a_record_needs_a_user_and_reasons() {
    let app = TestApp::new().await;
    let insert = |user: &str, codes: &str| {
        format!(
            "insert into brune_start_refused (at, user_id, codes, revision) values (now(), '{user}', '{codes}', 1)"
        )
    };
    for (user, codes) in [("", "{cooldown}"), ("ana", "{}"), ("ana", "{cooldown,null}")] {
        let sql = sqlx::AssertSqlSafe(insert(user, codes));
        let refused = sqlx::query(sql).execute(&app.db.owner()).await.unwrap_err();
        assert!(refused.to_string().contains("check constraint"), "{user} {codes}: {refused}");
    }
    psql::run(&app.db.owner(), insert("ana", "{cooldown}")).await;
}
