//! Behind a pooler in transaction mode, where every transaction may run on another session of the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::{Method, StatusCode};
use brune::{
    database::{self, Pool, Topology},
    settings::ChangeSignal,
};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::task::JoinSet;

use crate::support::{
    INTERNAL_KEY, Instance, TestApp, admin, pgbouncer::PgBouncer, proxy::Proxy, psql, redis::Redis,
    user, wait::wait_until,
};

const POLL: Duration = Duration::from_millis(200);
const SETTINGS: &str = "/admin/global-settings";

/// A pooler before the database of `app`, and an instance behind it that has no other way to the database.
async fn behind(app: &TestApp) -> (PgBouncer, Instance) {
    let pooler = PgBouncer::before(&app.db).await;
    let instance =
        Instance::builder(pooler.pool(None).await).poll_every(POLL).join_fleet().start().await;
    (pooler, instance)
}

async fn get(instance: &Instance, path: &str) -> Value {
    instance.get(path).bearer(&admin("root")).send().await.ok()
}

async fn write(instance: &Instance, method: Method, path: &str, body: Value) -> Value {
    instance.call(method, path).bearer(&admin("root")).json(&body).send().await.ok()
}

async fn hears(instance: &Instance) -> bool {
    let text = instance.get("/metrics").send().await.text;
    text.contains("brune_settings_listener_connected 1")
}

async fn is_ready(instance: &Instance) -> bool {
    instance.get("/readyz").send().await.status.is_success()
}

/// What is left on the sessions of the server that the pooler shares: nothing, whatever ran on them.
async fn nothing_is_left(app: &TestApp, pooler: &PgBouncer) {
    let mut borrowed = pooler.options().extra_float_digits(None).connect().await.unwrap();
    // Outside a transaction, often enough to meet each of them.
    for _ in 0..20 {
        let sql = "select (select count(*) from pg_prepared_statements) || ' '
            || current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')";
        let row = borrowed.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
        assert_eq!(sqlx::Row::get::<&str, _>(&row, 0), "0 0 0");
    }
    borrowed.close().await.unwrap();
    let sql = "select count(*) from pg_locks where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())";
    let locks: i64 = sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap();
    assert_eq!(locks, 0);
}

#[tokio::test]
async fn settings_are_written_rolled_back_and_read_through_the_pooler() {
    let mut app = TestApp::new().await;
    app.instance.join_fleet().await;
    let (pooler, instance) = behind(&app).await;
    let change = json!({"key": "BRUNE_COOLDOWN_MINUTES", "value": 45, "version": 1});
    let body = json!({"reason": "a test", "changes": [change]});
    let path = format!("{SETTINGS}?wait=applied&timeout_ms=4000");
    let outcome = write(&instance, Method::PATCH, &path, body).await;
    assert_eq!((&outcome["revision"], &outcome["applied"]["instances"]), (&json!(2), &json!(2)));
    let body = json!({"value": 15, "version": 2, "reason": "a test"});
    write(&instance, Method::PUT, "/admin/config/BRUNE_COOLDOWN_MINUTES", body).await;
    let body =
        json!({"key": "BRUNE_COOLDOWN_MINUTES", "to_version": 2, "version": 3, "reason": "back"});
    let outcome = write(&instance, Method::POST, &format!("{SETTINGS}/rollback"), body).await;
    assert_eq!(outcome["changed"][0]["new_value"], 45);
    let body = json!({"to_revision": 1, "revision": 4, "reason": "all of it back"});
    write(&instance, Method::POST, &format!("{SETTINGS}/rollback"), body).await;
    let document = json!({"format_version": 1, "catalog": "brun-e", "settings": {"BRUNE_PROMPT_VERSION": "7"}});
    let import = "/admin/config/import?reason=a%20test";
    let outcome = write(&instance, Method::POST, import, document).await;
    assert_eq!(outcome["revision"], 6);
    let reset = "/admin/config/BRUNE_PROMPT_VERSION?reason=a%20test&version=2";
    instance.call(Method::DELETE, reset).bearer(&admin("root")).send().await.ok();
    instance.wait_for_revision(7).await;
    app.instance.wait_for_revision(7).await;
    let trail = get(&instance, &format!("{SETTINGS}/history?limit=200")).await;
    assert_eq!(trail["entries"].as_array().unwrap().len(), 9 + 6);
    assert_eq!(get(&instance, &format!("{SETTINGS}?revision=2")).await["settings"][0]["value"], 45);
    assert_eq!(get(&instance, "/admin/config/export").await["revision"], 7);
    let (entries, breaks) = brune::audit::verify(&pooler.pool(None).await).await.unwrap();
    assert_eq!((entries, breaks), (15, vec![]));
    nothing_is_left(&app, &pooler).await;
}

#[tokio::test]
async fn sessions_secrets_fleet_and_flags_work_through_the_pooler() {
    let app = TestApp::new().await;
    let (pooler, instance) = behind(&app).await;
    let session = instance.start_session(&user("ana")).await.ok();
    let path = format!("/brun-e/sessions/{}", session["session_id"].as_str().unwrap());
    instance.get(&path).bearer(&user("ana")).send().await.ok();
    assert_eq!(get(&instance, "/admin/sessions/pins").await["pins"][0]["sessions"], 1);
    instance.post(&format!("{path}/end")).bearer(&user("ana")).send().await.ok();
    instance.start_session(&user("ana")).await.problem(403, "not_eligible");
    psql::leave_secret(&app.db.pool(), "OPENAI_API_KEY", "an older one").await;
    let secrets = get(&instance, "/admin/secrets").await["secrets"].as_array().unwrap().clone();
    assert!(secrets.iter().any(|secret| secret["legacy_residue"] == true));
    let cleaned = json!({"reason": "a test"});
    write(&instance, Method::POST, "/admin/secrets/cleanup", cleaned).await;
    assert_eq!(get(&instance, "/admin/instances").await["instances"].as_array().unwrap().len(), 1);
    let flags = instance.post("/ofrep/v1/evaluate/flags").header("x-api-key", INTERNAL_KEY);
    let flags = flags.json(&json!({"context": {}})).send().await.ok();
    assert_eq!(flags["flags"].as_array().unwrap().len(), 9);
    instance.fleet.leave(&instance.pool).await.unwrap();
    assert!(is_ready(&instance).await);
    nothing_is_left(&app, &pooler).await;
}

/// One of the requests that come from all sides, told apart by `n`.
async fn any(instance: &Instance, n: usize) -> StatusCode {
    let reply = match n % 8 {
        0 => instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(n % 200), 1)]).await,
        1 => instance.start_session(&user(&format!("user-{n}"))).await,
        2 => instance.get(SETTINGS).bearer(&admin("root")).send().await,
        3 => instance.get(&format!("{SETTINGS}/history")).bearer(&admin("root")).send().await,
        4 => instance.get("/admin/sessions/pins").bearer(&admin("root")).send().await,
        5 => instance.get("/admin/config/BRUNE_PROMPT_ID").bearer(&admin("root")).send().await,
        6 => instance.get("/admin/instances").bearer(&admin("root")).send().await,
        _ => {
            let call = instance.post("/ofrep/v1/evaluate/flags");
            call.header("x-api-key", INTERNAL_KEY).json(&json!({"context": {}})).send().await
        }
    };
    reply.status
}

async fn all_at_once(instance: &Arc<Instance>, requests: usize) -> Vec<StatusCode> {
    let mut under_way = JoinSet::new();
    for n in 0..requests {
        let instance = Arc::clone(instance);
        under_way.spawn(async move { any(&instance, n).await });
    }
    under_way.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_hundred_concurrent_requests_share_four_sessions() {
    let app = TestApp::new().await;
    let (pooler, instance) = behind(&app).await;
    let instance = Arc::new(instance);
    let answers = all_at_once(&instance, 400).await;
    let failed: Vec<_> = answers.iter().filter(|status| status.is_server_error()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let good = answers.iter().filter(|status| status.is_success()).count();
    assert_eq!(good, 7 * 50 + 1, "one change of fifty, and everything else");
    nothing_is_left(&app, &pooler).await;
}

#[tokio::test]
async fn foreign_changes_are_found_by_the_poll_and_own_changes_at_once() {
    let app = TestApp::new().await;
    let pooler = PgBouncer::before(&app.db).await;
    let instance = Instance::builder(pooler.pool(None).await).poll_every(POLL).start().await;
    let writer = Instance::builder(pooler.pool(None).await).start().await;
    for version in 1..=4 {
        let by = if version % 2 == 0 { &app.instance } else { &writer };
        by.change(&[("BRUNE_PROMPT_VERSION", json!(format!("v{version}")), version)]).await.ok();
        instance.wait_for_revision(version + 1).await;
    }
    assert_eq!(writer.settings.revision(), 4, "its own, and what was there then");
    assert!(!hears(&instance).await && is_ready(&instance).await);
}

#[tokio::test]
async fn notifications_arrive_over_the_direct_url() {
    let app = TestApp::new().await;
    let pooler = PgBouncer::before(&app.db).await;
    let instance = Instance::builder(pooler.pool(Some(app.db.options())).await).start().await;
    assert!(hears(&instance).await);
    for version in 1..=5 {
        let change = [("BRUNE_PROMPT_VERSION", json!(format!("v{version}")), version)];
        app.instance.change(&change).await.ok();
        instance.wait_for_revision(version + 1).await;
    }
    nothing_is_left(&app, &pooler).await;
}

#[tokio::test]
async fn a_direct_url_of_another_database_is_refused() {
    let app = TestApp::new().await;
    let other = TestApp::new().await;
    let pooler = PgBouncer::before(&app.db).await;
    let direct = Some(Box::new(other.db.options()));
    let fault = Pool::open(pooler.options(), Topology::Pooler { direct }, 1).await.unwrap_err();
    assert!(matches!(fault, database::Error::Elsewhere { .. }), "{fault:?}");
}

#[tokio::test]
async fn an_undeclared_pooler_is_reported() {
    let app = TestApp::new().await;
    for ignored in ["", "extra_float_digits", "extra_float_digits, options"] {
        let pooler = PgBouncer::ignoring(&app.db, ignored).await;
        let fault = Pool::open(pooler.options(), Topology::Direct, 1).await.unwrap_err();
        assert!(matches!(fault, database::Error::Pooled { .. }), "{ignored}: {fault:?}");
        assert!(fault.to_string().contains("set BRUNE_DB_POOLER=transaction"), "{fault}");
    }
}

#[tokio::test]
async fn undelivered_notifications_are_detected_and_the_poll_continues() {
    let app = TestApp::new().await;
    let pooler = PgBouncer::in_disguise(&app.db).await;
    let instance =
        Instance::builder(pooler.pool(Some(pooler.options())).await).poll_every(POLL).start().await;
    assert!(!hears(&instance).await && is_ready(&instance).await);
    let writer = Instance::builder(pooler.pool(Some(pooler.options())).await).start().await;
    for version in 1..=3 {
        writer
            .change(&[("BRUNE_PROMPT_VERSION", json!(format!("v{version}")), version)])
            .await
            .ok();
        writer.wait_for_revision(version + 1).await;
        instance.wait_for_revision(version + 1).await;
    }
    assert!(!hears(&instance).await && !hears(&writer).await);
}

#[tokio::test]
async fn listening_resumes_when_notifications_arrive_again() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    proxy.swallow_notifications();
    let instance = Instance::builder(proxy.pool(5).await).start().await;
    assert!(!hears(&instance).await && is_ready(&instance).await);
    // Nobody notifies it of its own changes; it knows of them all the same.
    instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    instance.wait_for_revision(2).await;
    proxy.pass_notifications();
    wait_until("it hears", async || hears(&instance).await).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("3"), 2)]).await.ok();
    instance.wait_for_revision(3).await;
}

/// Requests from eight clients, one after the other each, until told to stop; returns how each was answered.
fn load(instance: &Arc<Instance>, stop: &Arc<AtomicBool>) -> JoinSet<Vec<StatusCode>> {
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let instance = Arc::clone(instance);
        let stop = Arc::clone(stop);
        clients.spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                answers.push(any(&instance, client + 8 * answers.len()).await);
                tokio::task::yield_now().await;
            }
            answers
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_and_redis_killed_under_load_recover_without_loss() {
    let app = TestApp::new().await;
    let mut redis = Redis::start().await;
    let mut pooler = PgBouncer::before(&app.db).await;
    let instance = Instance::builder(pooler.pool(None).await)
        .change_signal(ChangeSignal::Redis(redis.url()))
        .poll_every(POLL)
        .start()
        .await;
    let instance = Arc::new(instance);
    let stop = Arc::new(AtomicBool::new(false));
    let clients = load(&instance, &stop);
    for version in 1..=3 {
        wait_until("it serves", async || any(&instance, 2).await.is_success()).await;
        pooler.kill();
        redis.kill();
        wait_until("it is noticed", async || any(&instance, 2).await.is_server_error()).await;
        assert!(any(&instance, 7).await.is_success(), "what is in memory is read all the same");
        let value = json!(format!("v{version}"));
        let change = [("BRUNE_PROMPT_VERSION", value, version)];
        let revision = app.instance.change(&change).await.ok()["revision"].as_i64().unwrap();
        pooler.again().await;
        redis.again().await;
        instance.wait_for_revision(revision).await;
        wait_until("it is ready", async || is_ready(&instance).await).await;
    }
    stop.store(true, Ordering::SeqCst);
    let answers = clients.join_all().await.concat();
    let failed = |status: &&StatusCode| status.is_server_error();
    let expected = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    let others: Vec<_> =
        answers.iter().filter(failed).filter(|status| !expected.contains(status)).collect();
    assert!(others.is_empty(), "{others:?}");
    let answers = all_at_once(&instance, 80).await;
    assert!(!answers.iter().any(StatusCode::is_server_error), "{answers:?}");
}
