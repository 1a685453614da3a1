//! `/admin/sessions`: looking through them, where their settings came from, and ending one.

use brune::outbox::{Subscription, Topic};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{end, id, time};
use crate::support::{
    Instance, Reply, SECRET, TestApp, admin, realtime_stub::Stub, services::Services, user,
};

async fn list(instance: &Instance, query: &str) -> Value {
    let path = format!("/admin/sessions{query}");
    instance.get(&path).bearer(&admin("root")).send().await.ok()
}

fn users(page: &Value) -> Vec<&str> {
    let sessions = page["sessions"].as_array().unwrap().iter();
    sessions.map(|session| session["user_id"].as_str().unwrap()).collect()
}

async fn end_as_admin(instance: &Instance, session: &Value, body: &Value) -> Reply {
    let path = format!("/admin/sessions/{}/end", id(session));
    instance.post(&path).bearer(&admin("root")).json(body).send().await
}

#[tokio::test]
async fn sessions_are_filtered_by_status_user_and_revision_newest_first() {
    let app = TestApp::new().await;
    let away = Services { realtime: Some("http://127.0.0.1:1".to_owned()), ..Services::default() };
    let away = Instance::builder(app.db.pool()).services(away).without_listener().start().await;
    let ana = app.instance.start_session(&user("ana")).await.ok();
    app.instance.start_session(&user("ben")).await.ok();
    end(&app.instance, &ana, &user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.start_session(&user("eva")).await.ok();
    away.start_session(&user("ida")).await.problem(502, "realtime_unavailable");
    for (query, found) in [
        ("", &["ida", "eva", "ben", "ana"][..]),
        ("?status=active", &["eva", "ben"]),
        ("?status=ended", &["ana"]),
        ("?status=failed", &["ida"]),
        ("?status=starting", &[]),
        ("?status=expired", &[]),
        ("?user_id=ben", &["ben"]),
        ("?revision=1", &["ben", "ana"]),
        ("?revision=1&status=active", &["ben"]),
        ("?revision=3", &[]),
    ] {
        let page = list(&app.instance, query).await;
        assert_eq!((users(&page), &page["next_cursor"]), (found.to_vec(), &Value::Null), "{query}");
    }
    // Whatever nobody has marked yet.
    app.instance.shift.advance(TimeDelta::minutes(31));
    assert_eq!(users(&list(&app.instance, "?status=expired").await), ["eva", "ben"]);
    assert_eq!(users(&list(&app.instance, "?status=active").await), [""; 0]);
}

#[tokio::test]
async fn session_pages_are_contiguous_and_a_cursor_belongs_to_its_filters() {
    let app = TestApp::new().await;
    for n in 0..5 {
        app.instance.start_session(&user(&format!("user-{n}"))).await.ok();
    }
    let mut results = Vec::new();
    let mut query = "?limit=2&status=active".to_owned();
    loop {
        let page = list(&app.instance, &query).await;
        results.extend(users(&page).into_iter().map(str::to_owned));
        // What is new meanwhile is on no later page.
        app.instance.start_session(&user(&format!("late-{}", results.len()))).await.ok();
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=2&status=active&cursor={cursor}");
    }
    assert_eq!(results, ["user-4", "user-3", "user-2", "user-1", "user-0"]);
    let page = list(&app.instance, "?limit=1&status=active").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        format!("?status=ended&cursor={cursor}"),
        format!("?cursor={cursor}"),
        "?cursor=AAAA".to_owned(),
        "?status=running".to_owned(),
        "?limit=0".to_owned(),
        "?revision=x".to_owned(),
        "?page=2".to_owned(),
    ] {
        let path = format!("/admin/sessions{query}");
        let reply = app.instance.get(&path).bearer(&admin("root")).send().await;
        reply.problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn a_session_has_actor_and_reason_of_each_setting() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let services = Services { realtime: Some(stub.url()), ..Services::default() };
    let instance =
        Instance::builder(app.db.pool()).services(services).without_listener().start().await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    let session = instance.start_session(&user("ana")).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("3"), 2)]).await.ok();
    let path = format!("/admin/sessions/{}", id(&session));
    let body = app.instance.get(&path).bearer(&admin("root")).send().await.ok();
    assert_eq!((id(&body), &body["config"]), (id(&session), &session["config"]));
    assert_eq!(
        (&body["plan"], &body["level"], &body["realtime"]),
        (&json!("pro"), &Value::Null, &Value::Null)
    );
    assert_eq!(body["provider_session_id"], "sess_stub_000001");
    assert_eq!(body["provider_request_id"], "req_stub_000001");
    let settings = body["settings"].as_array().unwrap();
    assert_eq!(settings.len(), 9);
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    let version = of("BRUNE_PROMPT_VERSION");
    assert_eq!(
        (&version["value"], &version["version"], &version["revision"]),
        (&json!("2"), &json!(2), &json!(2))
    );
    assert_eq!((&version["changed_by"], &version["reason"]), (&json!("admin-1"), &json!("a test")));
    let minutes = of("BRUNE_SESSION_MAX_MINUTES");
    assert_eq!((&minutes["value"], &minutes["action"]), (&json!(30), &json!("seed")));
}

#[tokio::test]
async fn an_administrator_ends_a_session_with_a_stored_reason() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    for body in [json!({}), json!({"reason": "no"}), json!({"reason": null})] {
        end_as_admin(&app.instance, &session, &body).await.problem(400, "reason_required");
    }
    let secret = end_as_admin(&app.instance, &session, &json!({"reason": SECRET})).await;
    secret.problem(400, "secret_like_value");
    let odd = end_as_admin(&app.instance, &session, &json!({"reason": "a test", "x": 1})).await;
    odd.problem(400, "malformed_request");
    let ended =
        end_as_admin(&app.instance, &session, &json!({"reason": "the user asked"})).await.ok();
    assert_eq!((&ended["status"], &ended["ended_by"]), (&json!("ended"), &json!("root")));
    assert_eq!(ended["end_reason"], "the user asked");
    assert!(time(&session["started_at"]) <= time(&ended["ended_at"]));
    // One that has ended stays as it is.
    let repeat = end_as_admin(&app.instance, &session, &json!({"reason": "once more"})).await.ok();
    assert_eq!(repeat, ended);
    let none = json!({"session_id": "0198aaaa-0000-7000-8000-000000000000"});
    end_as_admin(&app.instance, &none, &json!({"reason": "a test"}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn session_administration_requires_an_administrator() {
    let app = TestApp::new().await;
    let session = app.instance.start_session(&user("ana")).await.ok();
    let path = format!("/admin/sessions/{}", id(&session));
    for path in ["/admin/sessions", &path] {
        app.instance.get(path).bearer(&user("ana")).send().await.problem(403, "forbidden");
        app.instance.get(path).send().await.problem(401, "unauthorized");
    }
    let call = app.instance.post(&format!("{path}/end")).bearer(&user("ana"));
    call.json(&json!({"reason": "a test"})).send().await.problem(403, "forbidden");
}

#[tokio::test]
async fn starts_and_ends_are_enqueued_for_their_subscribers() {
    let app = TestApp::new().await;
    let stub = Stub::new().await;
    let sink = |name: &str, topics: &[Topic]| Subscription {
        sink: name.to_owned(),
        topics: topics.to_vec(),
    };
    let sinks = vec![
        sink("both", &[Topic::SessionStarted, Topic::SessionEnded]),
        sink("ends", &[Topic::SessionEnded]),
        sink("none", &[Topic::SettingsChanged]),
    ];
    for (name, realtime) in [("ana", None), ("ben", Some(stub.url()))] {
        let services = Services { realtime, sinks: sinks.clone(), ..Services::default() };
        let instance =
            Instance::builder(app.db.pool()).services(services).without_listener().start().await;
        let session = instance.start_session(&user(name)).await.ok();
        assert_eq!(session["status"], "active");
        let ended = end_as_admin(&instance, &session, &json!({"reason": "a test"})).await.ok();
        end(&instance, &session, &user(name)).await.ok();
        let actual: Vec<(String, String, Value)> =
            sqlx::query_as("delete from brune_outbox returning topic, sink, payload")
                .fetch_all(&app.db.pool())
                .await
                .unwrap();
        let mut events: Vec<_> =
            actual.iter().map(|message| (message.0.as_str(), message.1.as_str())).collect();
        events.sort_unstable();
        let expected =
            [("session.ended", "both"), ("session.ended", "ends"), ("session.started", "both")];
        assert_eq!(events, expected);
        for (topic, _, payload) in &actual {
            assert_eq!(
                (&payload["session_id"], &payload["revision"]),
                (&session["session_id"], &json!(1))
            );
            assert_eq!(time(&payload["started_at"]), time(&session["started_at"]));
            assert!(!payload.to_string().contains("ek_stub"), "{payload}");
            if topic == "session.ended" {
                assert_eq!(time(&payload["ended_at"]), time(&ended["ended_at"]));
                assert_eq!(
                    (&payload["ended_by"], &payload["reason"]),
                    (&json!("root"), &json!("a test"))
                );
            }
        }
    }
}

#[tokio::test]
async fn a_failed_start_enqueues_nothing() {
    let app = TestApp::new().await;
    let sinks = vec![Subscription { sink: "all".to_owned(), topics: Topic::ALL.to_vec() }];
    let realtime = Some("http://127.0.0.1:1".to_owned());
    let instance = Instance::builder(app.db.pool())
        .services(Services { realtime, sinks, ..Services::default() })
        .without_listener()
        .start()
        .await;
    instance.start_session(&user("ana")).await.problem(502, "realtime_unavailable");
    let actual: i64 = sqlx::query_scalar("select count(*) from brune_outbox")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(actual, 0);
}
