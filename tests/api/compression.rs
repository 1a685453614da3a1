//! Which answers are compressed, for which clients, and how their conditions are evaluated.

use std::io::Read as _;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{Instance, TestApp, admin, realtime_stub::Stub, services::Services, user};

/// The routes of the document whose answers may be compressed. A route is added only if its answers never hold a secret.
const COMPRESSED: [&str; 9] = [
    "/admin/config/audit",
    "/admin/config/schema",
    "/admin/global-settings/history",
    "/admin/global-settings/history/timeline",
    "/admin/instances",
    "/admin/outbox",
    "/admin/sessions",
    "/admin/sessions/pins",
    "/metrics",
];

/// Content that is the same for everybody.
const STATIC: [&str; 3] = ["/admin/", "/docs/swagger-ui.css", "/openapi.json"];

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn varies_by_encoding(&self) -> bool {
        self.headers.get_all(header::VARY).iter().any(|value| value == "accept-encoding")
    }

    fn decompressed(&self) -> Vec<u8> {
        let mut text = Vec::new();
        GzDecoder::new(&*self.body).read_to_end(&mut text).unwrap();
        text
    }
}

/// Sends a request of an administrator.
async fn send(instance: &Instance, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("host", "brune");
    request = request.header("authorization", format!("Bearer {}", admin("ada")));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response =
        instance.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let is_stream = head.headers.get("content-type").is_some_and(|it| it == "text/event-stream");
    let body = if is_stream { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    Answer { status: head.status, headers: head.headers, body }
}

async fn get(instance: &Instance, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(instance, Method::GET, path, headers).await
}

/// Changes that make the lists long enough.
async fn change_often(app: &TestApp) {
    for version in 1..=8 {
        let change = ("BRUNE_COOLDOWN_MINUTES", json!(40 + version), version);
        app.instance.change(&[change]).await.ok();
    }
}

#[tokio::test]
async fn only_the_listed_routes_are_compressed() {
    let app = TestApp::new().await;
    change_often(&app).await;
    let document = serde_json::to_value(brune::http::openapi()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let example = path
            .replace("{key}", "BRUNE_COOLDOWN_MINUTES")
            .replace("{code}", "not-found")
            .replace("{id}", &uuid::Uuid::nil().to_string());
        for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            if operations.get(method.as_str().to_lowercase()).is_none() {
                continue;
            }
            let answer =
                send(&app.instance, method.clone(), &example, &[("accept-encoding", "gzip")]).await;
            let expected = COMPRESSED.contains(&path.as_str()) || path == "/openapi.json";
            assert_eq!(answer.varies_by_encoding(), expected, "{method} {path}");
            if !expected {
                assert_eq!(answer.header(header::CONTENT_ENCODING), "", "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_with_a_secret_is_never_compressed() {
    let (app, stub) = (TestApp::new().await, Stub::new().await);
    let services = Services { realtime: Some(stub.url()), ..Services::default() };
    let instance = Instance::builder(app.db.own_pool().await)
        .services(services)
        .without_listener()
        .start()
        .await;
    let accept = ("accept-encoding", "gzip");
    let start = instance.post("/brun-e/start").bearer(&user("ana")).header(accept.0, accept.1);
    let flags = instance.post("/ofrep/v1/evaluate/flags").bearer(&user("ana"));
    let sign_in = instance.post("/admin/sign-in").header("sec-fetch-site", "same-origin");
    let sign_in = sign_in.json(&json!({"token": admin("ada")})).header(accept.0, accept.1);
    for (call, secret) in [
        (start, "ek_stub_000001"),
        (flags.header(accept.0, accept.1).json(&json!({})), "token="),
        (sign_in, "ada"),
    ] {
        let reply = call.send().await;
        // Readable as it is, and no header of a negotiated answer.
        assert!(reply.status.is_success() && reply.text.contains(secret), "{}", reply.text);
        assert_eq!(reply.header("content-encoding"), "", "{secret}");
        assert!(!reply.header("vary").contains("accept-encoding"), "{secret}");
    }
}

#[tokio::test]
async fn a_compressed_answer_has_the_same_content() {
    let app = TestApp::new().await;
    change_often(&app).await;
    let paths = ["/admin/global-settings/history", "/admin/config/audit", "/admin/config/schema"];
    for path in paths.into_iter().chain(STATIC) {
        let plain = get(&app.instance, path, &[]).await;
        assert_eq!(plain.status, StatusCode::OK, "{path}");
        assert!(plain.body.len() >= 1024, "{path} has {} bytes", plain.body.len());
        assert_eq!(plain.header(header::CONTENT_ENCODING), "", "{path}");
        let gzip = get(&app.instance, path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(gzip.header(header::CONTENT_ENCODING), "gzip", "{path}");
        assert!(gzip.body.len() < plain.body.len(), "{path}");
        assert_eq!(gzip.decompressed(), plain.body, "{path}");
        assert_eq!(gzip.header(header::CONTENT_TYPE), plain.header(header::CONTENT_TYPE), "{path}");
        assert!(gzip.varies_by_encoding() && plain.varies_by_encoding(), "{path}");
        let head = send(&app.instance, Method::HEAD, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(head.header(header::CONTENT_ENCODING), "gzip", "{path}");
        assert!(head.body.is_empty(), "{path}");
        let length = head.header(header::CONTENT_LENGTH);
        assert!(length.is_empty() || length == gzip.body.len().to_string(), "{path}: {length}");
    }
    let metrics = get(&app.instance, "/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!(metrics.header(header::CONTENT_ENCODING), "gzip");
    let vary: Vec<_> = metrics.headers.get_all(header::VARY).iter().collect();
    assert_eq!(vary, ["accept", "accept-encoding"]);
}

#[tokio::test]
async fn a_client_that_refuses_gzip_or_every_coding_gets_the_content_as_it_is() {
    let app = TestApp::new().await;
    change_often(&app).await;
    for path in ["/admin/global-settings/history", "/openapi.json"] {
        for refused in ["", "br", "gzip;q=0", "identity, gzip;q=0.5", "identity;q=0", "*;q=0"] {
            let answer = get(&app.instance, path, &[("accept-encoding", refused)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {refused}");
            assert_eq!(answer.header(header::CONTENT_ENCODING), "", "{path} {refused}");
        }
    }
}

#[tokio::test]
async fn small_answers_and_problems_are_not_compressed() {
    let app = TestApp::new().await;
    let accept = ("accept-encoding", "gzip");
    let small = get(&app.instance, "/admin/sessions", &[accept]).await;
    assert_eq!((small.status, small.header(header::CONTENT_ENCODING)), (StatusCode::OK, ""));
    let long = "x".repeat(2000);
    let path = format!("/admin/global-settings/history?{long}=1");
    let problem = get(&app.instance, &path, &[accept]).await;
    assert_eq!(problem.status, StatusCode::BAD_REQUEST);
    assert_eq!(problem.header(header::CONTENT_ENCODING), "");
}

#[tokio::test]
async fn each_form_of_static_content_has_its_own_tag_and_its_own_304() {
    let app = TestApp::new().await;
    for path in STATIC {
        let accept = ("accept-encoding", "gzip");
        let plain = get(&app.instance, path, &[]).await;
        let gzip = get(&app.instance, path, &[accept]).await;
        let (plain, gzip) = (plain.header(header::ETAG), gzip.header(header::ETAG));
        assert!(plain.len() > 2 && gzip.len() > 2 && plain != gzip, "{path}: {plain} {gzip}");
        let connections = get(&app.instance, path, &[accept, ("if-none-match", gzip)]).await;
        assert_eq!(
            (connections.status, connections.body.len()),
            (StatusCode::NOT_MODIFIED, 0),
            "{path}"
        );
        assert_eq!(
            (connections.header(header::ETAG), connections.header(header::CACHE_CONTROL)),
            (gzip, "no-cache")
        );
        assert!(connections.varies_by_encoding(), "{path}");
        let connections = get(&app.instance, path, &[("if-none-match", plain)]).await;
        assert_eq!(connections.status, StatusCode::NOT_MODIFIED, "{path}");
        let other = get(&app.instance, path, &[accept, ("if-none-match", plain)]).await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn tags_that_bind_a_write_are_the_same_for_every_client() {
    let app = TestApp::new().await;
    for (path, tag) in [
        ("/admin/global-settings", "\"r1\""),
        ("/admin/global-settings/BRUNE_COOLDOWN_MINUTES", "\"v1\""),
        ("/admin/config", "\"r1\""),
        ("/admin/config/BRUNE_COOLDOWN_MINUTES", "\"v1\""),
        ("/admin/config/export", "\"r1\""),
    ] {
        let answer = get(&app.instance, path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(answer.header(header::ETAG), tag, "{path}");
        assert_eq!(answer.header(header::CONTENT_ENCODING), "", "{path}");
        let headers = [("accept-encoding", "gzip"), ("if-none-match", tag)];
        let connections = get(&app.instance, path, &headers).await;
        assert_eq!(connections.status, StatusCode::NOT_MODIFIED, "{path}");
    }
}
