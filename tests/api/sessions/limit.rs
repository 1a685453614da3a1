//! How often a user may try to start.

use std::{num::NonZeroU32, sync::Arc};

use serde_json::json;
use tokio::task::JoinSet;

use super::end;
use crate::support::{
    Instance, TestApp, psql, realtime_stub::Stub, services::Services, token, user,
};
use brune::http::Grant;

async fn limited(app: &TestApp, per_minute: u32) -> Instance {
    let per_minute = NonZeroU32::new(per_minute).unwrap();
    Instance::builder(app.db.pool())
        .services(Services { per_minute, ..Services::default() })
        .without_listener()
        .start()
        .await
}

/// Seconds pass for whatever was tried before.
async fn pass(app: &TestApp, seconds: u32) {
    let sql = format!(
        "update brune_start_attempt set tried_at = array(
           select t - interval '{seconds} seconds' from unnest(tried_at) t order by t)"
    );
    psql::run(&app.db.pool(), sql).await;
    let sql = format!(
        "update brune_session set attempted_at = attempted_at - interval '{seconds} seconds'"
    );
    psql::run(&app.db.pool(), sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rate_limit_is_shared_by_all_instances() {
    let app = TestApp::new().await;
    let instances = [Arc::new(limited(&app, 7).await), Arc::new(limited(&app, 7).await)];
    for round in 0..5 {
        let mut starts = JoinSet::new();
        for n in 0..24 {
            let instance = Arc::clone(&instances[n % 2]);
            let token = user(&format!("user-{round}"));
            starts.spawn(async move { instance.start_session(&token).await });
        }
        let mut counts = [0; 3];
        for reply in starts.join_all().await {
            let at = match reply.status.as_u16() {
                201 => 0,
                409 => 1,
                429 => 2,
                status => panic!("{status} {}", reply.text),
            };
            counts[at] += 1;
        }
        assert_eq!(counts, [1, 6, 17]);
    }
}

#[tokio::test]
async fn a_start_after_retry_after_is_accepted() {
    let app = TestApp::new().await;
    let instance = limited(&app, 2).await;
    app.instance.change(&[("BRUNE_COOLDOWN_MINUTES", json!(0), 1)]).await.ok();
    let session = instance.start_session(&user("ana")).await.ok();
    end(&instance, &session, &user("ana")).await.ok();
    pass(&app, 20).await;
    instance.start_session(&user("ana")).await.ok();
    let reply = instance.start_session(&user("ana")).await;
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((35..=40).contains(&wait), "{wait}");
    reply.problem(429, "rate_limited");
    pass(&app, wait).await;
    // One of the two is more than a minute ago, and only one.
    instance.start_session(&user("ana")).await.problem(409, "session_active");
    instance.start_session(&user("ana")).await.problem(429, "rate_limited");
    // Others are not concerned.
    instance.start_session(&user("ben")).await.ok();
}

#[tokio::test]
async fn refused_attempts_count_against_the_limit_and_repeats_do_not() {
    let app = TestApp::new().await;
    let instance = limited(&app, 3).await;
    let nobody = token(&Grant { sub: "eva".to_owned(), ..Grant::default() });
    for _ in 0..3 {
        instance.start_session(&nobody).await.problem(403, "not_eligible");
    }
    instance.start_session(&user("eva")).await.problem(429, "rate_limited");

    let start = async |key: &str| {
        let call = instance.post("/brun-e/start").bearer(&user("ana"));
        call.header("idempotency-key", key).send().await
    };
    let session = start("k-1").await.ok();
    for _ in 0..5 {
        assert_eq!(start("k-1").await.ok(), session);
    }
    let ended = end(&instance, &session, &user("ana")).await.ok();
    assert_eq!(start("k-1").await.ok(), ended);
    start("k-2").await.problem(403, "not_eligible");
    start("k-3").await.problem(403, "not_eligible");
    start("k-4").await.problem(429, "rate_limited");
    // A repeat is answered even then.
    assert_eq!(start("k-1").await.ok(), ended);
}

#[tokio::test]
async fn starts_that_failed_at_the_provider_count_against_the_limit() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let per_minute = NonZeroU32::new(2).unwrap();
    let services = Services { realtime: Some(stub.url()), per_minute, ..Services::default() };
    let instance =
        Instance::builder(app.db.pool()).services(services).without_listener().start().await;
    let changes = [
        ("BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST", json!(["stub-401"]), 1),
        ("BRUNE_OPENAI_REALTIME_MODEL", json!("stub-401"), 1),
    ];
    app.instance.change(&changes).await.ok();
    for _ in 0..2 {
        instance.start_session(&user("ana")).await.problem(502, "realtime_unavailable");
    }
    let reply = instance.start_session(&user("ana")).await;
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    reply.problem(429, "rate_limited");
    assert_eq!(stub.calls().len(), 2);
    pass(&app, 61).await;
    instance.start_session(&user("ana")).await.problem(502, "realtime_unavailable");
}

#[tokio::test]
async fn attempts_stored_by_the_release_before_count() {
    let app = TestApp::new().await;
    let instance = limited(&app, 2).await;
    let sql = "insert into brune_start_attempt values ('ana', array[clock_timestamp(), clock_timestamp()])";
    psql::run(&app.db.pool(), sql).await;
    instance.start_session(&user("ana")).await.problem(429, "rate_limited");
    pass(&app, 61).await;
    instance.start_session(&user("ana")).await.ok();
}

#[tokio::test]
async fn a_start_with_outdated_settings_counts_once() {
    let app = TestApp::new().await;
    let instance = limited(&app, 1).await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    assert_eq!(instance.start_session(&user("ana")).await.ok()["config"]["revision"], 2);
}
