//! A start that is sent twice.

use std::sync::Arc;

use brune::http::Grant;
use serde_json::json;
use tokio::task::JoinSet;

use super::{end, find, id};
use crate::support::{INTERNAL_KEY, Instance, Reply, TestApp, token, user};

async fn start(instance: &Instance, token: &str, key: &str) -> Reply {
    instance.post("/brun-e/start").bearer(token).header("idempotency-key", key).send().await
}

async fn sessions(app: &TestApp) -> i64 {
    sqlx::query_scalar("select count(*) from brune_session")
        .fetch_one(&app.db.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_repeated_start_returns_the_same_session() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let first = start(&app.instance, &user("ana"), "k-1").await;
    assert_eq!(first.header("idempotent-replayed"), "");
    let first = first.ok();
    let repeat = start(&other, &user("ana"), "k-1").await;
    assert_eq!((repeat.status.as_u16(), repeat.header("idempotent-replayed")), (201, "true"));
    assert_eq!(repeat.header("location"), format!("/brun-e/sessions/{}", id(&first)));
    assert_eq!(repeat.ok(), first);
    // Quoted, as the header's specification writes it, it is the same key.
    assert_eq!(start(&other, &user("ana"), "\"k-1\"").await.ok(), first);
    assert_eq!(sessions(&app).await, 1);
    start(&other, &user("ana"), "k-2").await.problem(409, "session_active");
}

#[tokio::test]
async fn a_repeated_start_finds_its_session_after_later_changes() {
    let app = TestApp::new().await;
    let first = start(&app.instance, &user("ana"), "k-1").await.ok();
    end(&app.instance, &first, &user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let repeat = start(&app.instance, &user("ana"), "k-1").await.ok();
    assert_eq!(repeat, find(&app.instance, &first, &user("ana")).await.ok());
    assert_eq!((&repeat["status"], &repeat["config"]), (&json!("ended"), &first["config"]));
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_request_of_one_user() {
    let app = TestApp::new().await;
    let first = start(&app.instance, &user("ana"), "k-1").await.ok();
    let other = start(&app.instance, &user("bob"), "k-1").await.ok();
    assert_ne!(id(&first), id(&other));
    let sub = "ana".to_owned();
    let level = Some("senior".to_owned());
    let promoted = token(&Grant { sub, plan: Some("pro".to_owned()), level, ..Grant::default() });
    let reused = start(&app.instance, &promoted, "k-1").await;
    reused.problem(422, "idempotency_key_reused");
    // The same request in the name of the same user, whoever carries it.
    let call = app.instance.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
    let call =
        call.header("idempotency-key", "k-1").json(&json!({"user_id": "ana", "plan": "pro"}));
    assert_eq!(call.send().await.ok(), first);
    assert_eq!(sessions(&app).await, 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let app = TestApp::new().await;
    let long = "k".repeat(256);
    for key in ["", "\"\"", "two words", "a\"b", "a\\b", &long] {
        start(&app.instance, &user("ana"), key).await.problem(400, "malformed_request");
    }
    let twice = app.instance.post("/brun-e/start").bearer(&user("ana"));
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    twice.send().await.problem(400, "malformed_request");
    assert_eq!(sessions(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_starts_with_one_key_start_one_session() {
    let app = TestApp::new().await;
    let instances =
        [Arc::new(app.another_instance().await), Arc::new(app.another_instance().await)];
    for round in 0..10 {
        let mut starts = JoinSet::new();
        for n in 0..8 {
            let instance = Arc::clone(&instances[n % 2]);
            let token = user(&format!("user-{round}"));
            let key = format!("k-{round}");
            starts.spawn(async move { start(&instance, &token, &key).await });
        }
        let replies = starts.join_all().await;
        let first =
            replies.iter().filter(|reply| reply.header("idempotent-replayed").is_empty()).count();
        assert_eq!(first, 1, "{replies:?}");
        let bodies: Vec<_> = replies.into_iter().map(Reply::ok).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    }
    assert_eq!(sessions(&app).await, 10);
}
