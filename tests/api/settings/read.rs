//! Reading the settings: all, one, as they were, and not again when nothing changed.

use serde_json::{Value, json};

use super::{COOLDOWN, PATH, entries, one, read, set_by_sql, stored};
use crate::support::{Instance, Reply, TestApp, admin};

async fn held(instance: &Instance, path: &str, tags: &[&str]) -> Reply {
    let call = instance.get(path).bearer(&admin("a"));
    tags.iter().fold(call, |call, tag| call.header("if-none-match", tag)).send().await
}

fn keys(listing: &Value) -> Vec<&str> {
    listing["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| setting["key"].as_str().unwrap())
        .collect()
}

fn cooldown(listing: &Value) -> (i64, Value, Value) {
    let all = listing["settings"].as_array().unwrap();
    let one = all.iter().find(|setting| setting["key"] == COOLDOWN).unwrap();
    (listing["revision"].as_i64().unwrap(), one["value"].clone(), one["version"].clone())
}

#[tokio::test]
async fn the_list_has_the_nine_editable_settings_by_key() {
    let app = TestApp::new().await;
    let reply = read(&app.instance, PATH).await;
    assert_eq!(reply.header("etag"), "\"r1\"");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("cache-control"), "no-store");
    let listing = reply.ok();
    assert_eq!(
        keys(&listing),
        [
            "BRUNE_COOLDOWN_MINUTES",
            "BRUNE_ELIGIBILITY_ALLOWED_LEVELS",
            "BRUNE_ELIGIBILITY_REQUIRE_PLAN",
            "BRUNE_MAX_SESSIONS_PER_DAY",
            "BRUNE_OPENAI_REALTIME_MODEL",
            "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST",
            "BRUNE_PROMPT_ID",
            "BRUNE_PROMPT_VERSION",
            "BRUNE_SESSION_MAX_MINUTES",
        ]
    );
    assert_eq!(listing["revision"], 1);
    insta::assert_json_snapshot!(listing["settings"][0], {".updated_at" => "[time]"}, @r#"
    {
      "applies": "new_sessions",
      "approvals": 0,
      "category": "brune_business",
      "constraints": {
        "integer": true,
        "max": 240,
        "min": 0
      },
      "default": 30,
      "description": "Minutes a user waits after a session ends before the next may start.",
      "editable": true,
      "key": "BRUNE_COOLDOWN_MINUTES",
      "source": "db",
      "updated_at": "[time]",
      "updated_by": "brune:migrate",
      "value": 30,
      "value_type": "number",
      "version": 1
    }
    "#);
}

#[tokio::test]
async fn one_setting_equals_its_entry_in_the_list() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let listing = read(&app.instance, PATH).await.ok();
    for expected in listing["settings"].as_array().unwrap() {
        let key = expected["key"].as_str().unwrap();
        let reply = read(&app.instance, &format!("{PATH}/{key}")).await;
        assert_eq!(reply.header("etag"), format!("\"v{}\"", expected["version"]));
        assert_eq!(&reply.ok(), expected);
    }
    let changed = &listing["settings"][0];
    assert_eq!((&changed["version"], &changed["updated_by"]), (&json!(2), &json!("admin-1")));
}

#[tokio::test]
async fn an_unchanged_list_is_answered_with_304() {
    let app = TestApp::new().await;
    let lines: [&[&str]; 5] =
        [&["\"r1\""], &["W/\"r1\""], &["*"], &["\"r9\", W/\"r1\""], &["\"r9\"", "\"r1\""]];
    for tags in lines {
        let reply = held(&app.instance, PATH, tags).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (304, ""), "{tags:?}");
        assert_eq!(reply.header("etag"), "\"r1\"");
    }
    for other in ["\"r2\"", "\"v1\"", "\"r11\""] {
        assert_eq!(held(&app.instance, PATH, &[other]).await.status, 200, "{other}");
    }
    // What is no list of tags could never match: the client would read everything each time, unnoticed.
    for malformed in ["r1", "w/\"r1\""] {
        assert_eq!(held(&app.instance, PATH, &[malformed]).await.status, 400, "{malformed}");
    }
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    let reply = held(&app.instance, PATH, &["\"r1\""]).await;
    assert_eq!((reply.status.as_u16(), reply.header("etag")), (200, "\"r2\""));
}

#[tokio::test]
async fn an_unchanged_setting_is_answered_with_304() {
    let app = TestApp::new().await;
    let path = format!("{PATH}/{COOLDOWN}");
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    for tag in ["\"v1\"", "W/\"v1\"", "*", "\"v7\", \"v1\""] {
        let reply = held(&app.instance, &path, &[tag]).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str()), (304, ""), "{tag}");
    }
    // The whole's tag is not the setting's.
    assert_eq!(held(&app.instance, &path, &["\"r1\""]).await.status, 200);
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    assert_eq!(held(&app.instance, &path, &["\"v1\""]).await.status, 200);
    assert_eq!(held(&app.instance, &path, &["\"v2\""]).await.status, 304);
}

#[tokio::test]
async fn an_instance_without_listener_lists_the_current_settings() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    assert_eq!(cooldown(&read(&deaf, PATH).await.ok()), (2, json!(45), json!(2)));
    assert_eq!(one(&deaf, COOLDOWN).await["value"], 45);
    assert_eq!(deaf.settings.revision(), 1);
    assert_eq!(held(&deaf, PATH, &["\"r1\""]).await.status, 200);
}

#[tokio::test]
async fn an_earlier_revision_is_returned_as_it_was() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(60), 2)]).await.ok();
    for (revision, value, version) in [(1, 30, 1), (2, 45, 2), (3, 45, 2), (4, 60, 3)] {
        let reply = read(&app.instance, &format!("{PATH}?revision={revision}")).await;
        assert_eq!(reply.header("etag"), format!("\"r{revision}\""));
        let listing = reply.ok();
        assert_eq!(cooldown(&listing), (revision, json!(value), json!(version)));
        assert_eq!(keys(&listing).len(), 9);
    }
    let then = read(&app.instance, &format!("{PATH}?revision=4")).await.ok();
    assert_eq!(then, read(&app.instance, PATH).await.ok());
    let path = format!("{PATH}?revision=2");
    assert_eq!(held(&app.instance, &path, &["\"r2\""]).await.status, 304);
    assert_eq!(held(&app.instance, &path, &["\"r4\""]).await.status, 200);
}

#[tokio::test]
async fn an_instant_returns_the_revision_of_that_time() {
    let app = TestApp::new().await;
    app.instance.change(&[(COOLDOWN, json!(45), 1)]).await.ok();
    app.instance.change(&[(COOLDOWN, json!(60), 2)]).await.ok();
    let trail = entries(&app.instance, &format!("key={COOLDOWN}")).await;
    for (entry, revision, value) in [(0, 3, 60), (1, 2, 45), (2, 1, 30)] {
        let then = trail[entry]["changed_at"].as_str().unwrap();
        let listing = read(&app.instance, &format!("{PATH}?at={then}")).await.ok();
        assert_eq!(cooldown(&listing), (revision, json!(value), json!(revision)));
    }
    let later = read(&app.instance, &format!("{PATH}?at=2999-01-01T00:00:00%2B01:00")).await.ok();
    assert_eq!(cooldown(&later), (3, json!(60), json!(3)));
}

#[tokio::test]
async fn a_revision_before_the_first_or_after_the_newest_is_404() {
    let app = TestApp::new().await;
    let queries = ["revision=0", "revision=2", "revision=9007199254740991"];
    for query in queries.into_iter().chain(["at=2000-01-01T00:00:00Z"]) {
        let reply = read(&app.instance, &format!("{PATH}?{query}")).await;
        let problem = reply.problem(404, "revision_not_found");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.ends_with("revisions go from 1 to 1"), "{query}: {detail}");
    }
}

#[tokio::test]
async fn an_invalid_query_reports_each_parameter() {
    let app = TestApp::new().await;
    for (query, place, code) in [
        ("revision=1&at=2026-01-01T00:00:00Z", "?at", "ambiguous"),
        ("revision=one", "?revision", "out_of_range"),
        ("revision=-1", "?revision", "out_of_range"),
        ("revision=99999999999999999999", "?revision", "out_of_range"),
        ("revision=", "?revision", "empty"),
        ("revision=1&revision=1", "?revision", "repeated"),
        ("at=yesterday", "?at", "not_a_time"),
        ("at=2026-02-30T00:00:00Z", "?at", "not_a_time"),
        ("at=2026-01-01T00:00:00+01:00", "?at", "not_a_time"),
        ("key=BRUNE_COOLDOWN_MINUTES", "?key", "unknown_parameter"),
        ("%ff=1", "?", "not_utf8"),
    ] {
        let problem = read(&app.instance, &format!("{PATH}?{query}")).await;
        let problem = problem.problem(400, "malformed_request");
        assert_eq!(super::faults(&problem), super::at([(place, code)]), "{query}");
    }
    let path = format!("{PATH}/{COOLDOWN}?revision=1");
    read(&app.instance, &path).await.problem(400, "malformed_request");
}

#[tokio::test]
async fn an_impossible_instant_is_rejected_with_400() {
    let app = TestApp::new().await;
    for at in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"] {
        for path in [format!("{PATH}?at={at}"), format!("{}?since={at}", super::HISTORY)] {
            let reply = read(&app.instance, &path).await;
            assert!(reply.status.as_u16() < 500, "{path}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn secrets_and_infrastructure_keys_are_not_settings() {
    let app = TestApp::new().await;
    for key in ["OPENAI_API_KEY", "JWT_SECRET", "NODE_ENV", "LOG_LEVEL", "NOPE", "brune_cooldown"] {
        let problem = read(&app.instance, &format!("{PATH}/{key}")).await;
        let problem = problem.problem(404, "unknown_key");
        assert_eq!(problem["detail"], format!("there is no setting {key}"));
    }
    for key in ["a%00b", "%ff", "a%0Ab", "%E2%80%AE"] {
        read(&app.instance, &format!("{PATH}/{key}")).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_integer_stored_with_a_decimal_point_is_returned_as_integer() {
    let app = TestApp::new().await;
    sqlx::raw_sql(
        "begin;
        update app_global_settings set value_json = '45.0', version = 2, updated_by = 'psql'
          where key = 'BRUNE_COOLDOWN_MINUTES';
        insert into app_global_setting_audit (key, action, old_value_json, new_value_json, version,
            changed_by, reason, changed_at)
          values ('BRUNE_COOLDOWN_MINUTES', 'update', '30', '45.0', 2, 'psql', 'by hand', now());
        commit",
    )
    .execute(&app.db.pool())
    .await
    .unwrap();
    let setting = one(&app.instance, COOLDOWN).await;
    assert_eq!(setting["value"].to_string(), "45");
    let before = stored(&app).await;
    let reply = app.instance.change(&[(COOLDOWN, json!(45), 2)]).await.ok();
    assert_eq!(reply["unchanged"], json!([COOLDOWN]));
    assert_eq!(stored(&app).await, before);
}

#[tokio::test]
async fn a_change_by_sql_is_returned_at_once_and_loaded() {
    let app = TestApp::new().await;
    set_by_sql(&app.db.pool(), COOLDOWN, &json!(45)).await.unwrap();
    let setting = one(&app.instance, COOLDOWN).await;
    assert_eq!((&setting["value"], &setting["updated_by"]), (&json!(45), &json!("psql")));
    app.instance.wait_for_revision(2).await;
    assert_eq!(app.instance.settings.current().get_integer(COOLDOWN), Ok(45));
}
