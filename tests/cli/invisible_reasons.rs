//! A reason that says nothing is none, whichever way it comes in.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{
    TestApp,
    binary::{Home, Service},
};

const KEY: &str = "BRUNE_COOLDOWN_MINUTES";

/// Texts in which a reader sees fewer than three characters.
const NOTHING: [&str; 14] = [
    "\u{200B}\u{200B}\u{200B}",
    "\u{3164}\u{3164}\u{3164}\u{3164}",
    "\u{FFA0}\u{115F}\u{1160}",
    "\u{E0041}\u{E0042}\u{E0043}",
    "\u{FE0F}\u{FE0E}\u{E0100}",
    "\u{2800}\u{2800}\u{2800}",
    "\u{34F}\u{AD}\u{2060}\u{180E}",
    "ok\u{200B}\u{200B}",
    "a\u{3164}\u{3164}\u{3164}b",
    "a \u{A0} \u{3000} b",
    "👍\u{FE0F}\u{200D}\u{200D}",
    "\u{200E}\u{200F}\u{202E}\u{2066}",
    "ab",
    "   ",
];

/// Texts that are reasons, though they have such characters or none that are Latin.
const REASONS: [&str; 5] = ["né 漢", "👩\u{200D}🚀 up", "שלום", "a\u{200B}bc", "山田太郎"];

/// Every request that takes a reason, as a dry run where there is one.
fn requests(service: &Service, reason: &str) -> Vec<(&'static str, RequestBuilder)> {
    let call = |method, path: &str| service.call(method, path);
    let change = json!([{"key": KEY, "value": 45, "version": 1}]);
    let session = "/admin/sessions/00000000-0000-4000-8000-000000000000/end";
    let import = call(Method::POST, "/admin/config/import").query(&[("reason", reason)]);
    vec![
        (
            "PATCH",
            call(Method::PATCH, "/admin/global-settings?dry_run=true")
                .json(&json!({"reason": reason, "changes": change})),
        ),
        (
            "PUT",
            call(Method::PUT, &format!("/admin/config/{KEY}?dry_run=true"))
                .json(&json!({"reason": reason, "value": 45, "version": 1})),
        ),
        (
            "DELETE",
            call(Method::DELETE, &format!("/admin/config/{KEY}?dry_run=true&version=1"))
                .query(&[("reason", reason)]),
        ),
        (
            "rollback",
            call(Method::POST, "/admin/global-settings/rollback?dry_run=true")
                .json(&json!({"reason": reason, "key": KEY, "to_version": 1, "version": 1})),
        ),
        // The value that stands, since an import with a reason is applied.
        ("import", import.header("content-type", "text/plain").body(format!("{KEY}=30\n"))),
        (
            "cleanup",
            call(Method::POST, "/admin/secrets/cleanup?dry_run=true")
                .json(&json!({"reason": reason})),
        ),
        ("end of a session", call(Method::POST, session).json(&json!({"reason": reason}))),
    ]
}

async fn answer_of(request: RequestBuilder) -> (u16, Value) {
    let reply = request.send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

#[tokio::test]
async fn an_invisible_reason_is_rejected_by_every_route() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db);
    let service = home.serve();
    for reason in NOTHING {
        for (door, request) in requests(&service, reason) {
            let (status, body) = answer_of(request).await;
            let code = body["code"].as_str().unwrap_or_default();
            assert_eq!((status, code), (400, "reason_required"), "{door}, {reason:?}: {body}");
        }
    }
    for reason in REASONS {
        for (door, request) in requests(&service, reason) {
            let (status, body) = answer_of(request).await;
            // There is no such session, and its reason was read before.
            let fine = if door == "end of a session" { 404 } else { 200 };
            assert_eq!(status, fine, "{door}, {reason:?}: {body}");
        }
    }
    assert_eq!(service.get("/admin/global-settings").await["revision"], 1);
}

#[tokio::test]
async fn an_invisible_reason_is_rejected_by_the_command_line() {
    let app = TestApp::new().await;
    let mut home = Home::on(&app.db);
    let document = home.write("settings.env", &format!("{KEY}=45\n")).display().to_string();
    let service = home.serve();
    home.set("BRUNE_URL", &format!("http://{}", service.address()));
    home.set("BRUNE_TOKEN", &service.token.clone());
    for reason in [
        "\u{200B}\u{200B}\u{200B}",
        "\u{3164}\u{3164}\u{3164}",
        "a\u{2800}\u{2800}b",
        "\u{202E}\u{202E}\u{202E}",
    ] {
        for arguments in [
            &["config", "set", KEY, "45"][..],
            &["config", "reset", KEY],
            &["config", "rollback", KEY, "--to-version", "1", "--yes"],
            &["config", "import", &document, "--yes"],
            &["secrets", "cleanup", "--yes"],
        ] {
            let all = [arguments, &["--reason", reason]].concat();
            home.run(&all).refused(&["reason"]);
        }
    }
    assert_eq!(service.get("/admin/global-settings").await["revision"], 1);
}
