//! Sessions whose time is over are marked, each by one instance.

use std::{sync::Arc, time::Duration};

use brune::{
    database::{Pool, TransactionError},
    metrics::Metrics,
    outbox::{Outbox, Subscription, Topic},
    sessions::{Expiry, expire},
};
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{end, find, id, time};
use crate::support::{
    Instance, TestApp,
    binary::Home,
    proxy::Proxy,
    psql,
    services::Services,
    user,
    wait::{no_hang, wait_until},
};

/// Three sinks, two of which want to hear of sessions that are over.
fn subscriptions() -> Vec<Subscription> {
    let subscription = |sink: &str, topics: &[Topic]| Subscription {
        sink: sink.to_owned(),
        topics: topics.to_vec(),
    };
    vec![
        subscription("webhook", &Topic::ALL),
        subscription("discord", &[Topic::SettingsChanged]),
        subscription("second", &[Topic::SessionExpired]),
    ]
}

fn worker(pool: impl Into<Pool>, batch: u16) -> Expiry {
    Expiry::new(pool.into(), Outbox::new(subscriptions()), Metrics::default(), batch)
}

/// `sessions` that were over a while ago, some of them at the same instant.
async fn leave(pool: &PgPool, sessions: i32) {
    let sql = "insert into brune_session (id, user_id, started_at, expires_at, settings_revision, prompt_id,
          prompt_version, model, session_max_minutes)
        select gen_random_uuid(), 'due-' || n, now() - interval '1 day', now() - interval '3 hours' + n / 7 * interval '1 second',
          1, 'pmpt', '1', 'm', 30 from generate_series(1, $1) n";
    sqlx::query(sql).bind(sessions).execute(pool).await.unwrap();
}

async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {sql}")))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Sessions that are marked as over, as they are to be.
const EXPIRED: &str = "brune_session where status = 'expired' and ended_at = expires_at";
const MESSAGES: &str = "brune_outbox where topic = 'session.expired'";

#[tokio::test]
async fn concurrent_workers_expire_each_session_once() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    leave(&pool, 3_000).await;
    let running = app.instance.start_session(&user("ana")).await.ok();
    let mut tasks = JoinSet::new();
    for batch in [50, 70, 7] {
        let worker = worker(pool.clone(), batch);
        tasks.spawn(async move { worker.sweep().await.unwrap() });
    }
    let marked = tasks.join_all().await;
    assert_eq!(marked.iter().sum::<i64>(), 3_000, "{marked:?}");
    assert!(marked.iter().filter(|count| 0 < **count).count() > 1, "{marked:?}");
    assert_eq!(count(&pool, EXPIRED).await, 3_000);
    // One for each session and each sink that wants it, under one id.
    assert_eq!(count(&pool, MESSAGES).await, 6_000);
    for distinct in ["distinct id", "distinct payload->>'session_id'"] {
        let text = format!("(select {distinct} from {MESSAGES}) d");
        assert_eq!(count(&pool, &text).await, 3_000, "{distinct}");
    }
    assert_eq!(count(&pool, "brune_outbox where sink = 'discord'").await, 0);
    assert_eq!(find(&app.instance, &running, &user("ana")).await.ok(), running);
    assert_eq!(worker(pool, 10).sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn an_expiry_message_has_the_session_as_it_was() {
    let app = TestApp::new().await;
    app.instance.shift.advance(TimeDelta::hours(-2));
    let ana = app.instance.start_session(&user("ana")).await.ok();
    assert_eq!(worker(app.db.pool(), 10).step(None).await.unwrap().expired, 1);
    let body = find(&app.instance, &ana, &user("ana")).await.ok();
    assert_eq!((&body["status"], &body["ended_at"]), (&json!("expired"), &ana["expires_at"]));
    let sql = "select payload from brune_outbox where sink = 'webhook'";
    let actual: Value = sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(actual["session_id"], id(&ana));
    for member in ["started_at", "expires_at"] {
        assert_eq!(time(&actual[member]), time(&ana[member]), "{actual}");
    }
    assert_eq!((&actual["user_id"], &actual["ended_at"]), (&json!("ana"), &actual["expires_at"]));
    assert_eq!((&actual["revision"], &actual["model"]), (&json!(1), &ana["config"]["model"]));
    assert_eq!(actual["prompt_id"], ana["config"]["prompt_id"]);
}

#[tokio::test]
async fn a_session_expired_by_the_next_start_is_enqueued_as_well() {
    let app = TestApp::new().await;
    let services = Services { sinks: subscriptions(), ..Services::default() };
    let instance =
        Instance::builder(app.db.pool()).services(services).without_listener().start().await;
    let first = instance.start_session(&user("ana")).await.ok();
    instance.shift.advance(TimeDelta::hours(2));
    instance.start_session(&user("ana")).await.ok();
    let sql =
        "select payload from brune_outbox where topic = 'session.expired' and sink = 'second'";
    let actual: Vec<Value> = sqlx::query_scalar(sql).fetch_all(&app.db.pool()).await.unwrap();
    assert_eq!(actual.len(), 1, "{actual:?}");
    assert_eq!(actual[0]["session_id"], id(&first));
    assert_eq!(time(&actual[0]["ended_at"]), time(&first["expires_at"]));
    assert_eq!(worker(app.db.pool(), 10).sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn expiry_without_subscribers_enqueues_nothing_and_is_counted() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    let metrics = Metrics::default();
    leave(&pool, 25).await;
    let worker = Expiry::new(pool.clone().into(), Outbox::default(), metrics.clone(), 10);
    let first = worker.step(None).await.unwrap();
    let lag = gauge(&metrics, "brune_expiry_lag_seconds ");
    let late = "select extract(epoch from now() - min(expires_at))::bigint from brune_session";
    let most = f64::from(i32::try_from(psql::count(&pool, late).await).unwrap()) + 1.0;
    assert!((10_700.0..=most).contains(&lag), "{lag}, at most {most}");
    let second = worker.step(first.next).await.unwrap();
    let third = worker.step(second.next).await.unwrap();
    assert_eq!([first, second, third].map(|step| step.expired), [10, 10, 5]);
    assert!(first.next < second.next && third.next.is_none(), "{first:?} {second:?} {third:?}");
    assert_eq!((count(&pool, EXPIRED).await, count(&pool, "brune_outbox").await), (25, 0));
    assert_eq!(worker.step(None).await.unwrap().expired, 0);
    assert_eq!(gauge(&metrics, "brune_expiry_lag_seconds ").to_bits(), 0);
    assert_eq!(gauge(&metrics, "brune_sessions_expired_total ").to_bits(), 25_f64.to_bits());
    assert_eq!(
        gauge(&metrics, "brune_expiry_batch_duration_seconds_count ").to_bits(),
        4_f64.to_bits()
    );
}

fn gauge(metrics: &Metrics, name: &str) -> f64 {
    let text = metrics.text(brune::metrics::Format::OpenMetrics, true).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_locked_session_is_skipped() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    leave(&pool, 10).await;
    let mut transaction = pool.begin().await.unwrap();
    let sql =
        "update brune_session set status = 'ended', ended_at = expires_at where user_id = 'due-3'";
    sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    // Does not wait for it, and leaves nothing else out.
    let swept = no_hang("the sweep skips the locked row", worker(pool.clone(), 4).sweep()).await;
    assert_eq!(swept.unwrap(), 9);
    transaction.commit().await.unwrap();
    assert_eq!(worker(pool.clone(), 4).sweep().await.unwrap(), 0);
    assert_eq!(count(&pool, "brune_session where status = 'ended'").await, 1);
    assert_eq!(count(&pool, "brune_outbox where payload->>'user_id' = 'due-3'").await, 0);
}

#[tokio::test]
async fn an_ended_session_is_not_expired() {
    let app = TestApp::new().await;
    let ana = app.instance.start_session(&user("ana")).await.ok();
    let ended = end(&app.instance, &ana, &user("ana")).await.ok();
    assert_eq!(ended["status"], "ended");
    app.instance.shift.advance(TimeDelta::hours(-3));
    let ben = app.instance.start_session(&user("ben")).await.ok();
    assert_eq!(worker(app.db.pool(), 10).sweep().await.unwrap(), 1);
    assert_eq!(find(&app.instance, &ana, &user("ana")).await.ok(), ended);
    // Ending what is over changes nothing of it.
    app.instance.shift.advance(TimeDelta::hours(3));
    let over = end(&app.instance, &ben, &user("ben")).await.ok();
    assert_eq!((&over["status"], &over["ended_at"]), (&json!("expired"), &ben["expires_at"]));
}

#[tokio::test]
async fn users_can_start_while_their_sessions_expire() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    leave(&pool, 400).await;
    let worker = Arc::new(worker(pool.clone(), 3));
    let mut tasks = JoinSet::new();
    let swept = Arc::clone(&worker);
    tasks.spawn(async move { swept.sweep().await.unwrap() });
    for n in (1..=400).rev().step_by(8) {
        app.instance.start_session(&user(&format!("due-{n}"))).await.ok();
    }
    tasks.join_all().await;
    assert_eq!(count(&pool, EXPIRED).await, 400);
    assert_eq!(count(&pool, "brune_session where status = 'active'").await, 50);
}

#[tokio::test]
async fn expiry_waits_during_an_outage() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    leave(&app.db.pool(), 30).await;
    let worker = worker(proxy.pool(1).await, 20);
    worker.step(None).await.unwrap();
    proxy.take_away().await;
    let failure = worker.sweep().await.unwrap_err();
    assert!(!matches!(failure, TransactionError::Refused(_)), "{failure:?}");
    proxy.bring_back().await;
    assert_eq!(worker.sweep().await.unwrap(), 10);
    assert_eq!(count(&app.db.pool(), MESSAGES).await, 60);
}

#[tokio::test]
async fn expiry_resumes_after_an_outage() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let pace =
        brune::config::Expiry { enabled: true, interval: Duration::from_millis(20), batch: 20 };
    let metrics = Metrics::default();
    let worker =
        Expiry::new(proxy.pool(1).await, Outbox::new(subscriptions()), metrics.clone(), 20);
    proxy.take_away().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(expire(worker, pace, app.instance.settings.clone()));
    let pool = app.db.pool();
    leave(&pool, 30).await;
    let failures = || gauge(&metrics, "brune_expiry_failures_total ");
    wait_until("it has failed twice", async || 2.0 <= failures()).await;
    proxy.bring_back().await;
    wait_until("marked", async || count(&pool, EXPIRED).await == 30).await;
    tasks.shutdown().await;
}

#[tokio::test]
async fn expiry_runs_unless_it_is_disabled() {
    let app = TestApp::new().await;
    let pool = app.db.pool();
    let mut home = Home::on(&app.db).with("BRUNE_EXPIRY_WORKER_INTERVAL_MS", "100");
    home.set("BRUNE_EXPIRY_WORKER_ENABLED", "false");
    let idle = home.serve();
    leave(&pool, 5).await;
    // A heartbeat comes every two seconds: more than ten times as seldom as a look would.
    let beat = "brune_instance where seen_at > started_at + interval '1.5 seconds'";
    wait_until("a heartbeat later", async || count(&pool, beat).await == 1).await;
    assert_eq!(count(&pool, EXPIRED).await, 0);
    idle.stop().await;
    home.set("BRUNE_EXPIRY_WORKER_ENABLED", "true");
    let service = home.serve();
    wait_until("marked", async || count(&pool, EXPIRED).await == 5).await;
    let metrics = service.anonymous(reqwest::Method::GET, "/metrics").send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains("brune_sessions_expired_total 5"));
    service.stop().await;
}
