//! Addresses: the root, a doubled slash, parameters of probes, and a service that is reached under a path.

use axum::http::{Method, StatusCode};
use brune::{config::Alerts, http::Limits};
use serde_json::json;

use crate::support::{FAST_PACE, Instance, TestApp, admin, sse::Served, user};

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

async fn under(app: &TestApp, public_url: &str) -> Instance {
    let alerts = Alerts { public_url: Some(public_url.to_owned()), ..Alerts::default() };
    Instance::builder(app.db.pool()).alerts(&alerts).pace(FAST_PACE).start().await
}

#[tokio::test]
async fn the_root_redirects_to_the_console_under_any_prefix() {
    let app = TestApp::new().await;
    for (asked, to) in
        [("/", "admin/"), ("/?a=b", "admin/?a=b"), ("/admin", "admin/"), ("/docs", "docs/")]
    {
        for method in [Method::GET, Method::HEAD] {
            let reply = app.instance.call(method, asked).send().await;
            assert!(reply.status.is_redirection(), "{asked}: {}", reply.status);
            assert_eq!(reply.header("location"), to, "{asked}");
        }
    }
    app.instance.post("/").send().await.problem(405, "method_not_allowed");
}

#[tokio::test]
async fn pages_have_no_absolute_paths() {
    let app = TestApp::new().await;
    let get = async |path: &str| {
        let reply = app.instance.get(path).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        reply.text
    };
    let mut pages = vec!["/admin/".to_owned(), "/docs/".to_owned()];
    pages.push("/docs/swagger-initializer.js".to_owned());
    let console = get("/admin/").await;
    let files = console.split('"').filter(|part| part.starts_with("assets/"));
    pages.extend(files.map(|file| format!("/admin/{file}")));
    assert!(pages.len() > 10, "{console}");
    for page in pages {
        let text = get(&page).await;
        for absolute in
            ["href=\"/", "src=\"/", "\"url\": \"/", "location.replace(\"/", "location.replace('/"]
        {
            assert!(!text.contains(absolute), "{page} has {absolute}");
        }
    }
    let document = app.instance.get("/openapi.json").send().await.ok();
    assert_eq!(document["servers"][0]["url"], ".");
}

#[tokio::test]
async fn a_doubled_slash_is_reported() {
    let app = TestApp::new().await;
    for path in ["//admin/global-settings", "//livez", "/admin//config", "//"] {
        let problem = app.instance.get(path).send().await.problem(404, "not_found");
        assert!(problem["detail"].as_str().unwrap().contains("two slashes in a row"), "{problem}");
    }
    // In the protocol's form, and not as a flag that is unknown: for that clients serve their default and say nothing.
    for path in ["//ofrep/v1/evaluate/flags/BRUNE_COOLDOWN_MINUTES", "//ofrep/v1/evaluate/flags"] {
        let reply = app.instance.post(path).bearer(&user("ana")).json(&json!({})).send().await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.body["errorCode"], "GENERAL", "{}", reply.text);
        let details = reply.body["errorDetails"].as_str().unwrap();
        assert!(details.contains("two slashes in a row"), "{details}");
    }
}

#[tokio::test]
async fn probes_ignore_query_parameters() {
    let app = TestApp::new().await;
    for path in
        ["/livez?_=1", "/readyz?_=1", "/readyz?verbose&x", "/healthz?a=1&a=2", "/metrics?_=%ff"]
    {
        let reply = app.instance.get(path).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text);
    }
    let verbose = app.instance.get("/readyz?_=1&verbose").send().await.text;
    assert!(verbose.contains("[+]database ok"), "{verbose}");
}

#[tokio::test]
async fn every_returned_address_has_the_path_prefix() {
    let app = TestApp::new().await;
    let instance = under(&app, "https://ops.example.com/brune").await;
    let page = instance.post(FLAGS).bearer(&user("ana")).json(&json!({})).send().await.ok();
    let events = page["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap();
    assert!(events.starts_with("/brune/ofrep/v1/events?since=1&token="), "{events}");
    let session = instance.start_session(&user("ana")).await;
    let id = session.body["session_id"].as_str().unwrap().to_owned();
    assert_eq!(session.header("location"), format!("/brune/brun-e/sessions/{id}"));
    let problem = instance.get("/no/such/path").send().await.problem(404, "not_found");
    assert_eq!(problem["type"], "/brune/problems/not-found");
    // A client that reaches the service without the proxy finds the stream as well.
    let served = Served::of(&instance, Limits::default()).await;
    let mut stream = served.stream(&events.replace("since=1&", ""), &[]).await;
    assert_eq!(stream.event().await.id, 1);
    // But nothing else is reached twice, past what a proxy forbids.
    instance.get("/brune/metrics").send().await.problem(404, "not_found");
    // Without a path all is as it was.
    let instance = Instance::builder(app.db.pool()).start().await;
    let problem = instance.get("/no/such/path").send().await.problem(404, "not_found");
    assert_eq!(problem["type"], "/problems/not-found");
}

#[tokio::test]
async fn the_cookie_is_limited_to_the_path_prefix() {
    let app = TestApp::new().await;
    let token = admin("ada");
    for (url, start) in [
        (
            "http://ops.example.com/brune",
            format!("brune={token}; HttpOnly; SameSite=Strict; Max-Age="),
        ),
        (
            "https://ops.example.com/brune",
            format!("__Secure-brune={token}; HttpOnly; SameSite=Strict; Secure; Max-Age="),
        ),
        (
            "https://ops.example.com",
            format!("__Host-brune={token}; HttpOnly; SameSite=Strict; Path=/; Secure; Max-Age="),
        ),
    ] {
        let instance = under(&app, url).await;
        let call = instance.post("/admin/sign-in").header("sec-fetch-site", "same-origin");
        let reply = call.json(&json!({"token": token})).send().await;
        assert!(
            reply.header("set-cookie").starts_with(&start),
            "{url}: {}",
            reply.header("set-cookie")
        );
        let name = start.split('=').next().unwrap();
        let me =
            instance.get("/admin/me").header("cookie", &format!("{name}={token}")).send().await;
        assert_eq!(me.ok()["subject"], "ada");
    }
}
