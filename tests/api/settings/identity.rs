//! Who somebody may be: nobody is called like the service, or so that a reader takes them for somebody else.

use axum::http::Method;
use serde_json::{Value, json};

use super::{HISTORY, PATH, tokens::claiming};
use crate::support::{INTERNAL_KEY, TestApp, admin};

#[tokio::test]
async fn a_subject_that_imitates_the_service_or_another_is_rejected() {
    let app = TestApp::new().await;
    let status = async |sub: &str| {
        let reply = app.instance.get(PATH).bearer(&claiming(&json!({"sub": sub}))).send().await;
        reply.status.as_u16()
    };
    for sub in [
        "brune:migrate",
        "brune:schedule",
        "brune:",
        "Brune:Migrate",
        "BRUNE:x",
        "br\u{200B}une:migrate",
        "\u{FF42}\u{FF52}\u{FF55}\u{FF4E}\u{FF45}\u{FF1A}migrate",
        "brune\u{FF1A}migrate",
        "b\u{433}une:migrate",
        "brune\u{2236}migrate",
        "brun\u{435}:migrate",
        " brune:migrate",
        "ada\u{202E}",
        "\u{2066}ada",
        "ad\u{200B}a",
        "\u{200B}\u{200C}",
        "ad\u{AD}a",
        " ada",
        "ada ",
        "ada\u{3000}",
        "Rene\u{301}",
        "ada\u{2028}",
        &"x".repeat(257),
    ] {
        assert_eq!(status(sub).await, 401, "{}", sub.escape_unicode());
    }
    for sub in [
        "ada",
        "René",
        "auth0|5f7c8ec7",
        "山田太郎",
        "שרה",
        "a:b@c",
        "brune",
        "brune-e:x",
        "a brune: x",
        "bruneau:x",
    ] {
        assert_eq!(status(sub).await, 200, "{sub}");
    }
}

#[tokio::test]
async fn a_service_cannot_name_an_imitating_actor() {
    let app = TestApp::new().await;
    let start = async |body: &Value| {
        let call = app.instance.call(Method::POST, "/brun-e/start");
        call.header("x-internal-api-key", INTERNAL_KEY).json(body).send().await
    };
    for user in ["brune:migrate", "BRUNE\u{FF1A}x", "ada\u{200D}", "ada ", "Rene\u{301}", ""] {
        let reply = start(&json!({"user_id": user, "plan": "pro"})).await;
        let problem = reply.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], "/user_id", "{}", user.escape_unicode());
    }
    for (member, word) in [("plan", "pro\u{200B}"), ("level", " b2"), ("plan", "\u{3164}")] {
        let mut body = json!({"user_id": "ada", "plan": "pro"});
        body[member] = json!(word);
        let problem = start(&body).await.problem(400, "malformed_request");
        assert_eq!(problem["errors"][0]["pointer"], format!("/{member}"));
    }
    start(&json!({"user_id": "ada", "plan": "pro"})).await.ok();
    // The service's own entries, and people whom an older release let in, are found by their names.
    let path = format!("{HISTORY}?changed_by=brune:migrate&limit=1");
    let seeded = app.instance.get(&path).bearer(&admin("ada")).send().await.ok();
    assert_eq!(seeded["entries"][0]["changed_by"], "brune:migrate");
    let path = "/admin/sessions?user_id=%20ada";
    app.instance.get(path).bearer(&admin("ada")).send().await.ok();
}
