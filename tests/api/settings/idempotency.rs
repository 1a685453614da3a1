//! A write that is sent again: with its `Idempotency-Key` it happens once, and both get its answer.

use brune::database::session;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{COOLDOWN, PATH, ROLLBACK, entries, psql, rollback, stored, value_of};
use crate::support::{Instance, Reply, TestApp, admin, psql, wait::wait_until};

fn body(value: i64, version: i64) -> Value {
    json!({"reason": "once", "changes": [{"key": COOLDOWN, "value": value, "version": version}]})
}

async fn send(instance: &Instance, who: &str, key: &str, body: &Value) -> Reply {
    let call = instance.patch(PATH).bearer(&admin(who)).header("idempotency-key", key);
    call.json(body).send().await
}

#[tokio::test]
async fn a_repeat_replays_the_first_response_and_changes_nothing() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    let first = send(&app.instance, "ana", "k1", &body(45, 1)).await;
    app.instance.change(&[(COOLDOWN, json!(60), 2)]).await.ok();
    let before = stored(&app).await;
    for instance in [&app.instance, &other] {
        // The version is stale by now, and the answer is still the first one's.
        let repeat = send(instance, "ana", "\"k1\"", &body(45, 1)).await;
        assert_eq!((repeat.status, &repeat.text), (first.status, &first.text));
        assert_eq!(repeat.header("etag"), first.header("etag"));
    }
    assert_eq!(stored(&app).await, before);
    assert_eq!(first.ok()["revision"], 2);
}

#[tokio::test]
async fn an_idempotency_key_belongs_to_one_request() {
    let app = TestApp::new().await;
    send(&app.instance, "ana", "k1", &body(45, 1)).await.ok();
    let before = stored(&app).await;
    let again = || app.instance.patch(PATH).bearer(&admin("ana")).header("idempotency-key", "k1");
    let rollback = json!({"key": COOLDOWN, "to_version": 1, "version": 2, "reason": "back"});
    let other_path = app.instance.post(ROLLBACK).bearer(&admin("ana")).json(&rollback);
    for other in [
        again().json(&body(50, 2)),
        again().json(&body(45, 1)).header("if-match", "\"r1\""),
        again().json(&body(45, 1)).header("prefer", "handling=lenient"),
        other_path.header("idempotency-key", "k1"),
    ] {
        other.send().await.problem(422, "idempotency_key_reused");
    }
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn callers_have_separate_idempotency_keys() {
    let app = TestApp::new().await;
    send(&app.instance, "ana", "k1", &body(45, 1)).await.ok();
    let change_reply = send(&app.instance, "bob", "k1", &body(50, 2)).await.ok();
    assert_eq!(change_reply["revision"], 3);
}

#[tokio::test]
async fn a_rejected_request_does_not_use_its_key() {
    let app = TestApp::new().await;
    send(&app.instance, "ana", "k1", &body(999, 1)).await.problem(400, "validation_failed");
    send(&app.instance, "ana", "k1", &body(45, 9)).await.problem(409, "version_conflict");
    send(&app.instance, "ana", "k1", &body(45, 1)).await.ok();
}

#[tokio::test]
async fn an_idempotency_key_expires_after_a_day() {
    let app = TestApp::new().await;
    send(&app.instance, "ana", "k1", &body(45, 1)).await.ok();
    let age = "update app_idempotency_key set created_at = now() - interval '24 hours 1 second'";
    psql(&app.db.pool(), age).await.unwrap();
    let change_reply = send(&app.instance, "ana", "k1", &body(50, 2)).await.ok();
    assert_eq!(change_reply["revision"], 3);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let app = TestApp::new().await;
    let before = stored(&app).await;
    let long = "k".repeat(256);
    for key in ["", "\"\"", "a b", "a\"b", "é", &long] {
        let reply = send(&app.instance, "ana", key, &body(45, 1)).await;
        reply.problem(400, "malformed_request");
    }
    let twice = app.instance.patch(PATH).bearer(&admin("ana")).json(&body(45, 1));
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b");
    twice.send().await.problem(400, "malformed_request");
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn concurrent_repeats_are_one_change() {
    let app = TestApp::new().await;
    let other = app.another_instance().await;
    for (round, version) in (1..=10).enumerate() {
        let key = format!("k{round}");
        let body = body(100 + version, version);
        let replies = tokio::join!(
            send(&app.instance, "ana", &key, &body),
            send(&other, "ana", &key, &body),
            send(&app.instance, "ana", &key, &body),
            send(&other, "ana", &key, &body),
        );
        let first = replies.0;
        let rest = [replies.1, replies.2, replies.3];
        for reply in rest {
            assert_eq!(reply.text, first.text);
        }
        assert_eq!(first.ok()["revision"], version + 1);
    }
    assert_eq!(entries(&app.instance, "action=update").await.len(), 10);
}

#[tokio::test]
async fn a_rollback_is_idempotent_like_a_change() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let target = json!({"key": COOLDOWN, "to_version": 1, "version": 2});
    let send = || rollback(&app.instance, ROLLBACK, target.clone()).header("idempotency-key", "k1");
    let first = send().send().await;
    let repeat = send().send().await;
    assert_eq!(first.text, repeat.text);
    assert_eq!(first.ok()["revision"], 3);
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(30), 3));
}

/// The sessions of the service that wait for a standby that will never come.
async fn end_the_wait(pool: &PgPool) {
    let sql = "select count(pg_cancel_backend(pid)) from pg_stat_activity
        where datname = current_database() and wait_event = 'SyncRep'";
    let are_gone = async || psql::count(pool, sql).await == 0;
    wait_until("no session waits for the standby", are_gone).await;
}

#[tokio::test]
async fn an_unconfirmed_commit_answers_504_and_a_repeat_resolves_it() {
    let app = TestApp::new().await;
    // A commit that notifies would hold up those of every other database of the server.
    let silence =
        "alter table app_global_setting_head disable trigger app_global_setting_head_notifies";
    psql(&app.db.owner(), silence).await.unwrap();
    // The server names a standby that there is not; these sessions wait for it.
    let waiting = session(app.db.options()).options([("synchronous_commit", "on")]);
    let waiting = PgPoolOptions::new().connect_lazy_with(waiting);
    let hanging = Instance::builder(waiting).without_listener().start().await;
    let reply = send(&hanging, "ana", "k1", &body(45, 1)).await;
    let problem = reply.problem(504, "outcome_unknown");
    assert!(!problem.to_string().contains("fail"), "{problem}");
    end_the_wait(&app.db.pool()).await;
    let actual_body = send(&app.instance, "ana", "k1", &body(45, 1)).await.ok();
    assert_eq!(actual_body["changed"][0]["version"], 2);
    assert_eq!(value_of(&app, COOLDOWN).await, (json!(45), 2));
    assert_eq!(entries(&app.instance, "action=update").await.len(), 1);
}
