//! What a start asks of the database, and what the database refuses.

use axum::http::StatusCode;
use serde_json::json;
use sqlx::Executor as _;

use super::{find, id};
use crate::support::{Instance, TestApp, admin, proxy::Proxy, psql, user};

#[tokio::test]
async fn a_start_takes_one_round_trip() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(1).await).without_listener().start().await;
    // Connections are opened and statements prepared once, not with every start.
    for n in 0..5 {
        instance.start_session(&user(&format!("warm-{n}"))).await.ok();
    }
    let before = proxy.round_trips();
    let starts = 50;
    for n in 0..starts {
        instance.start_session(&user(&format!("user-{n}"))).await.ok();
    }
    assert_eq!(proxy.round_trips() - before, starts);
}

#[tokio::test]
async fn a_start_sends_no_notification() {
    let app = TestApp::new().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&app.db.pool()).await.unwrap();
    listener.listen("brune_settings").await.unwrap();
    app.instance.start_session(&user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    // Notifications come in the order of their commits, so the first one would be the start's.
    let notification = listener.recv().await.unwrap();
    assert_eq!(notification.payload().split(' ').next(), Some("2"));
}

#[tokio::test]
async fn pinned_session_settings_cannot_be_changed_by_sql() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    for change in [
        "settings_revision = settings_revision + 1",
        "prompt_id = 'pmpt_other'",
        "prompt_version = '2'",
        "model = 'other'",
        "session_max_minutes = 1",
        "expires_at = expires_at + interval '1 hour'",
        "started_at = started_at - interval '1 hour'",
        "user_id = 'bob'",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("update brune_session set {change}"));
        let refusal = app.db.pool().execute(sql).await.unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains("keeps the settings it started with"), "{change}: {text}");
    }
    assert_eq!(find(&app.instance, &session, &user("ana")).await.ok(), session);
}

#[tokio::test]
async fn a_start_on_a_dead_connection_is_retried() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    // No more than a start is tried again over: it takes them one by one.
    let instance = Instance::builder(proxy.pool(2).await).without_listener().start().await;
    for n in 0..10 {
        instance.start_session(&user(&format!("warm-{n}"))).await.ok();
        let ended = psql::end_sessions(&app.db.pool(), "application_name = 'brune'").await;
        assert!(ended > 0);
        let reply = instance.start_session(&user(&format!("user-{n}"))).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{n}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_start_with_a_lost_response_finds_its_session() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(1).await).without_listener().start().await;
    instance.start_session(&user("warm")).await.ok();
    for (name, key) in [("ana", None), ("bob", Some("k-1"))] {
        proxy.lose_an_answer();
        let call = instance.post("/brun-e/start").bearer(&user(name));
        let call = key.into_iter().fold(call, |call, key| call.header("idempotency-key", key));
        let reply = call.send().await;
        assert!(!proxy.is_to_lose(), "nothing was lost");
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.text);
        assert_eq!(reply.header("idempotent-replayed"), "");
        let session = reply.ok();
        assert_eq!(find(&app.instance, &session, &user(name)).await.ok(), session);
    }
    let stored: i64 = sqlx::query_scalar("select count(*) from brune_session")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(stored, 3);
}

#[tokio::test]
async fn a_start_with_an_unconfirmed_commit_answers_504() {
    let app = TestApp::new().await;
    let sql = "do $$ begin
        execute format('alter database %I set synchronous_commit = on', current_database());
    end $$";
    psql::run(&app.db.owner(), sql).await;
    let proxy = Proxy::before(&app.db).await;
    let instance = Instance::builder(proxy.pool(5).await).without_listener().start().await;
    // No standby ever confirms it: the row is written, and nobody is told.
    instance.start_session(&user("ana")).await.problem(504, "outcome_unknown");
    psql::end_sessions(&app.db.pool(), "wait_event = 'SyncRep'").await;
    // A start that is refused would wait as well, since it is counted.
    let page = app.instance.get("/admin/sessions?status=active").bearer(&admin("root")).send();
    let page = page.await.ok();
    let stored: String = sqlx::query_scalar("select id::text from brune_session")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(id(&page["sessions"][0]), stored);
}
