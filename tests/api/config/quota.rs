//! How often one administrator may write.

use std::num::NonZeroU32;

use serde_json::json;

use super::{document, import, put, reset};
use crate::{
    settings::{COOLDOWN, entries, rollback},
    support::{Instance, TestApp, admin},
};

async fn allowing(app: &TestApp, writes: u32) -> Instance {
    Instance::builder(app.db.pool())
        .writes_per_minute(NonZeroU32::new(writes).unwrap())
        .without_listener()
        .start()
        .await
}

#[tokio::test]
async fn the_fourth_write_within_a_limit_of_three_is_rejected_with_retry_after() {
    let app = TestApp::new().await;
    let instance = allowing(&app, 3).await;
    for version in 1..=3 {
        let body = json!({"value": 40 + version, "version": version});
        put(&instance, COOLDOWN, body).send().await.ok();
    }
    let reply = put(&instance, COOLDOWN, json!({"value": 50, "version": 4})).send().await;
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(reply.header("ratelimit-policy"), "\"admin-write\";q=3;w=60");
    assert_eq!(reply.header("ratelimit"), format!("\"admin-write\";r=0;t={wait}"));
    reply.problem(429, "rate_limited");
    // Somebody else is not in the way of it, and the first one not of reading.
    let body = json!({"value": 50, "version": 4, "reason": "a test"});
    let path = format!("{}/{COOLDOWN}", super::CONFIG);
    let other = instance.call(axum::http::Method::PUT, &path).bearer(&admin("admin-2"));
    other.json(&body).send().await.ok();
    assert_eq!(super::one(&instance, COOLDOWN).await["version"], 5);
}

#[tokio::test]
async fn every_write_counts_against_the_quota_and_no_dry_run_does() {
    let app = TestApp::new().await;
    let instance = allowing(&app, 4).await;
    let text = document(&json!({COOLDOWN: 45}));
    let dry = format!("{COOLDOWN}?dry_run=true");
    for _ in 0..10 {
        put(&instance, &dry, json!({"value": 45, "version": 1})).send().await.ok();
        super::plan(&instance, "application/json", &text).await;
    }
    put(&instance, COOLDOWN, json!({"value": 41, "version": 1})).send().await.ok();
    reset(&instance, &format!("{COOLDOWN}?reason=a+test&version=2")).send().await.ok();
    import(&instance, "reason=a+test", "application/json", &text).send().await.ok();
    instance.change(&[(COOLDOWN, json!(46), 4)]).await.ok();
    let before = entries(&instance, "").await.len();
    let actual_rollback = json!({"key": COOLDOWN, "to_version": 1, "version": 5});
    let calls = [
        put(&instance, COOLDOWN, json!({"value": 41, "version": 5})),
        reset(&instance, &format!("{COOLDOWN}?reason=a+test&version=5")),
        import(&instance, "reason=a+test", "application/json", &text),
        rollback(&instance, crate::settings::ROLLBACK, actual_rollback),
    ];
    for call in calls {
        call.send().await.problem(429, "rate_limited");
    }
    instance.change(&[(COOLDOWN, json!(47), 5)]).await.problem(429, "rate_limited");
    assert_eq!(entries(&instance, "").await.len(), before);
}

#[tokio::test]
async fn an_unauthorized_write_counts_against_no_quota() {
    let app = TestApp::new().await;
    let instance = allowing(&app, 1).await;
    let path = format!("{}/{COOLDOWN}", super::CONFIG);
    for _ in 0..3 {
        let call = instance.call(axum::http::Method::PUT, &path);
        call.bearer(&crate::support::user("admin-1")).send().await.problem(403, "forbidden");
    }
    put(&instance, COOLDOWN, json!({"value": 45, "version": 1})).send().await.ok();
}
