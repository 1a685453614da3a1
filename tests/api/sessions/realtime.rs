//! Starts with the realtime provider: what it is asked, what becomes of its answers, and of its failures.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{end, find, id, time};
use crate::support::{
    Instance, PROVIDER_KEY, Reply, TestApp, admin, proxy::Proxy, psql, realtime_stub::Stub,
    services::Services, user, wait::wait_until,
};

async fn with(app: &TestApp, url: &str) -> Instance {
    let services = Services { realtime: Some(url.to_owned()), ..Services::default() };
    Instance::builder(app.db.pool()).services(services).without_listener().start().await
}

/// Has the provider play `scenario`.
async fn play(app: &TestApp, scenario: &str) {
    let changes = [
        ("BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", json!(["gpt-realtime-2.1", scenario]), 1),
        ("BRUNE_OPENAI_REALTIME_MODEL", json!(scenario), 1),
    ];
    app.instance.change(&changes).await.ok();
}

async fn statuses(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select status from brune_session order by id")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Every row of sessions and messages, as text.
async fn stored(pool: &PgPool) -> String {
    let sql = "select string_agg(t, ' ') from (
        select s::text as t from brune_session s union all select o::text from brune_outbox o) rows";
    sqlx::query_scalar::<_, Option<String>>(sql).fetch_one(pool).await.unwrap().unwrap_or_default()
}

#[tokio::test]
async fn a_start_returns_a_client_secret_for_the_pinned_prompt_and_model() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let call = instance.post("/brun-e/start").bearer(&user("ana")).header("x-request-id", "r-1");
    let session = call.send().await.ok();
    assert_eq!(session["status"], "active");
    assert_eq!(session["realtime"]["client_secret"], "ek_stub_000001");
    let life = time(&session["realtime"]["expires_at"]) - time(&session["started_at"]);
    assert!((9..=11).contains(&life.num_minutes()), "{session}");
    assert_eq!(
        stub.calls(),
        [json!({
            "authorized": true,
            "client_request_id": "r-1",
            "body": {
                "expires_after": {"anchor": "created_at", "seconds": 600},
                "session": {
                    "type": "realtime",
                    "model": "gpt-realtime-2.1",
                    "prompt": {"id": "pmpt_brune_default", "version": "2"},
                },
            },
        })]
    );
    // Handed out once, and kept nowhere.
    let body = find(&instance, &session, &user("ana")).await.ok();
    assert_eq!((&body["status"], &body["realtime"]), (&json!("active"), &Value::Null));
    let stored = stored(&app.db.pool()).await;
    assert!(stored.contains("sess_stub_000001") && stored.contains("req_stub_000001"), "{stored}");
    assert!(!stored.contains("ek_stub"), "{stored}");
}

#[tokio::test]
async fn a_repeated_start_has_no_client_secret() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    let start = async || {
        let call = instance.post("/brun-e/start").bearer(&user("ana"));
        call.header("idempotency-key", "k-1").send().await
    };
    let first = start().await.ok();
    let repeat = start().await;
    assert_eq!(repeat.header("idempotent-replayed"), "true");
    let repeat = repeat.ok();
    assert_eq!((id(&repeat), &repeat["realtime"]), (id(&first), &Value::Null));
    assert_eq!(stub.calls().len(), 1);
}

/// Fails with `status` and nothing else; the user may start at once when the provider is well again.
async fn fails(app: &TestApp, instance: &Instance) -> Value {
    let reply = instance.start_session(&user("ana")).await;
    assert!(!reply.text.contains(PROVIDER_KEY), "{}", reply.text);
    let problem = reply.problem(502, "realtime_unavailable");
    assert_eq!(statuses(&app.db.pool()).await.last().unwrap(), "failed");
    let pins = instance.get("/admin/sessions/pins").bearer(&admin("root")).send().await.ok();
    assert_eq!(pins["total"], 0);
    problem
}

#[tokio::test]
async fn an_invalid_provider_response_fails_the_start_without_retry() {
    for scenario in [
        "stub-html",
        "stub-empty",
        "stub-huge",
        "stub-redirect",
        "stub-drop",
        "stub-quota",
        "stub-401",
    ] {
        let app = TestApp::new().await;
        let stub = Stub::new().await;
        let instance = with(&app, &stub.url()).await;
        play(&app, scenario).await;
        let problem = fails(&app, &instance).await;
        assert_eq!(problem.get("errors"), None, "{scenario}: {problem}");
        assert_eq!(stub.calls().len(), 1, "{scenario}");
    }
}

#[tokio::test]
async fn a_temporary_provider_error_is_retried_twice_at_most() {
    for (scenario, calls) in [("stub-429-once", 2), ("stub-503-twice", 3)] {
        let app = TestApp::new().await;
        let stub = Stub::new().await;
        let instance = with(&app, &stub.url()).await;
        play(&app, scenario).await;
        assert_eq!(
            instance.start_session(&user("ana")).await.status,
            StatusCode::CREATED,
            "{scenario}"
        );
        assert_eq!(stub.calls().len(), calls, "{scenario}");
    }
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    play(&app, "stub-500").await;
    let reply = instance.start_session(&user("ana")).await;
    assert_eq!(reply.header("retry-after"), "5");
    reply.problem(502, "realtime_unavailable");
    assert_eq!(stub.calls().len(), 3);
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_not_retried() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    play(&app, "stub-429").await;
    let reply = instance.start_session(&user("ana")).await;
    assert_eq!(reply.header("retry-after"), "7");
    reply.problem(502, "realtime_unavailable");
    assert_eq!(stub.calls().len(), 1);
}

#[tokio::test]
async fn the_setting_that_the_provider_rejects_is_named() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    let keys = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["key"].as_str().unwrap().to_owned()).collect()
    };
    play(&app, "stub-no-model").await;
    assert_eq!(keys(&fails(&app, &instance).await), ["BRUNE_OPENAI_REALTIME_MODEL"]);
    let changes = [
        ("BRUNE_OPENAI_REALTIME_MODEL", json!("gpt-realtime-2.1"), 2),
        ("BRUNE_PROMPT_ID", json!("pmpt_gone"), 1),
    ];
    app.instance.change(&changes).await.ok();
    let problem = fails(&app, &instance).await;
    assert_eq!(keys(&problem), ["BRUNE_PROMPT_ID", "BRUNE_PROMPT_VERSION"]);
    assert_eq!(problem["errors"][0]["code"], "refused_by_provider");
}

#[tokio::test]
async fn an_unreachable_provider_fails_the_start() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let no_tls = stub.url().replace("http://", "https://");
    for url in ["http://127.0.0.1:1/v1", &no_tls] {
        let instance = with(&app, url).await;
        fails(&app, &instance).await;
    }
    assert!(stub.calls().is_empty());
    let metrics = app.instance.get("/metrics").send().await.text;
    assert!(metrics.contains("brune_realtime_calls_total{outcome=\"unreachable\"} 0"), "{metrics}");
}

#[tokio::test]
async fn a_failed_start_counts_for_no_cooldown_maximum_or_key() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let away = with(&app, "http://127.0.0.1:1/v1").await;
    let well = with(&app, &stub.url()).await;
    app.instance.change(&[("BRUNE_MAX_SESSIONS_PER_DAY", json!(1), 1)]).await.ok();
    let start = async |instance: &Instance| -> Reply {
        let call = instance.post("/brun-e/start").bearer(&user("ana"));
        call.header("idempotency-key", "k-1").send().await
    };
    for _ in 0..2 {
        start(&away).await.problem(502, "realtime_unavailable");
    }
    let session = start(&well).await.ok();
    assert_eq!(session["realtime"]["client_secret"], "ek_stub_000001");
    assert_eq!(statuses(&app.db.pool()).await, ["failed", "failed", "active"]);
}

#[tokio::test]
async fn a_late_provider_response_fails_the_start() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    play(&app, "stub-slow").await;
    fails(&app, &instance).await;
    stub.release();
    assert_eq!(statuses(&app.db.pool()).await, ["failed"]);
    instance.start_session(&user("ana")).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_provider_holds_no_database_connection() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let proxy = Proxy::before(&app.db).await;
    let services = Services { realtime: Some(stub.url()), ..Services::default() };
    let instance = Arc::new(
        Instance::builder(proxy.pool(1).await).services(services).without_listener().start().await,
    );
    play(&app, "stub-slow").await;
    let mut starts = JoinSet::new();
    for n in 0..20 {
        let instance = Arc::clone(&instance);
        starts.spawn(async move { instance.start_session(&user(&format!("user-{n}"))).await });
    }
    wait_until("all of them hang", async || stub.calls().len() == 20).await;
    // Others read and write meanwhile, over the one connection there is.
    let path = "/admin/global-settings";
    instance.get(path).bearer(&admin("root")).send().await.ok();
    instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(1), 1)]).await.ok();
    instance.start_session(&user("user-1")).await.problem(409, "session_active");
    assert_eq!(statuses(&app.db.pool()).await, ["starting"; 20]);
    stub.release();
    for reply in starts.join_all().await {
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
    }
    assert_eq!(statuses(&app.db.pool()).await, ["active"; 20]);
}

/// Starts a session and dies before the provider answers; returns its row's id.
async fn die_on_the_way(app: &TestApp, stub: &Stub, key: Option<&str>) -> String {
    play(app, "stub-slow").await;
    let instance = with(app, &stub.url()).await;
    let call = instance.post("/brun-e/start").bearer(&user("ana"));
    let call = key.into_iter().fold(call, |call, key| call.header("idempotency-key", key));
    tokio::select! {
        _ = call.send() => panic!("it did not hang"),
        () = wait_until("it hangs", async || !stub.calls().is_empty()) => (),
    }
    let sql = "select id::text from brune_session where status = 'starting'";
    sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap()
}

async fn half_a_minute_passes(app: &TestApp) {
    psql::run(
        &app.db.pool(),
        "update brune_session set starting_until = starting_until - interval '30 seconds'",
    )
    .await;
}

#[tokio::test]
async fn an_abandoned_start_blocks_its_user_for_half_a_minute_and_does_not_count() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let dead = json!({"session_id": die_on_the_way(&app, &stub, Some("k-1")).await});
    stub.release();
    let well = with(&app, &stub.url()).await;
    app.instance.change(&[("BRUNE_MAX_SESSIONS_PER_DAY", json!(1), 1)]).await.ok();
    let body = find(&well, &dead, &user("ana")).await.ok();
    assert_eq!((&body["status"], &body["ended_at"]), (&json!("starting"), &Value::Null));
    assert_eq!(end(&well, &dead, &user("ana")).await.ok()["status"], "starting");
    let active = well.start_session(&user("ana")).await.problem(409, "session_active");
    assert_eq!(id(&active), id(&dead));
    let repeat = async || {
        let call = well.post("/brun-e/start").bearer(&user("ana"));
        call.header("idempotency-key", "k-1").send().await
    };
    let reply = repeat().await;
    assert_eq!(reply.header("retry-after"), "1");
    reply.problem(409, "idempotency_in_progress");

    half_a_minute_passes(&app).await;
    assert_eq!(find(&well, &dead, &user("ana")).await.ok()["status"], "failed");
    let next = repeat().await;
    assert_eq!(next.header("idempotent-replayed"), "");
    assert_ne!(id(&next.ok()), id(&dead));
    assert_eq!(statuses(&app.db.pool()).await, ["failed", "active"]);
}

#[tokio::test]
async fn an_abandoned_start_cannot_be_activated_later() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    play(&app, "stub-slow").await;
    let ana = user("ana");
    let start = instance.start_session(&ana);
    let meanwhile = async {
        wait_until("it hangs", async || !stub.calls().is_empty()).await;
        half_a_minute_passes(&app).await;
        stub.release();
    };
    let (reply, ()) = tokio::join!(start, meanwhile);
    assert!(!reply.text.contains("ek_stub"), "{}", reply.text);
    reply.problem(503, "unavailable");
    instance.start_session(&user("ana")).await.ok();
    assert_eq!(statuses(&app.db.pool()).await, ["failed", "active"]);
}

#[tokio::test]
async fn an_activation_with_a_lost_response_finds_its_session() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let proxy = Proxy::before(&app.db).await;
    let services = Services { realtime: Some(stub.url()), ..Services::default() };
    let instance =
        Instance::builder(proxy.pool(1).await).services(services).without_listener().start().await;
    instance.start_session(&user("warm")).await.ok();
    play(&app, "stub-slow").await;
    let ana = user("ana");
    let start = instance.start_session(&ana);
    let meanwhile = async {
        wait_until("it hangs", async || stub.calls().len() == 2).await;
        proxy.lose_an_answer();
        stub.release();
    };
    let (reply, ()) = tokio::join!(start, meanwhile);
    assert!(!proxy.is_to_lose(), "nothing was lost");
    let session = reply.ok();
    assert_eq!(session["realtime"]["client_secret"], "ek_stub_000002");
    assert_eq!(find(&instance, &session, &user("ana")).await.ok()["status"], "active");
}

#[tokio::test]
async fn two_concurrent_starts_of_a_user_call_the_provider_once() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let instance = with(&app, &stub.url()).await;
    let ana = user("ana");
    let (one, other) = tokio::join!(instance.start_session(&ana), instance.start_session(&ana));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!((statuses, stub.calls().len()), ([201, 409], 1));
}

#[tokio::test]
async fn the_cooldown_ignores_a_failed_start_and_counts_the_session_before() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let away = with(&app, "http://127.0.0.1:1/v1").await;
    let well = with(&app, &stub.url()).await;
    let session = well.start_session(&user("ana")).await.ok();
    end(&well, &session, &user("ana")).await.ok();
    for instance in [&well, &away] {
        instance.shift.advance(TimeDelta::minutes(31));
    }
    away.start_session(&user("ana")).await.problem(502, "realtime_unavailable");
    well.shift.advance(TimeDelta::minutes(-30));
    let actual_problem = well.start_session(&user("ana")).await.problem(403, "not_eligible");
    assert_eq!(actual_problem["reasons"][0]["code"], "cooldown");
}
