//! What a request gets, whatever is wrong with it.

use std::time::Duration;

use brune::http::Limits;

use crate::support::{LIMITS, server};

#[tokio::test]
async fn a_response_has_the_id_of_its_request() {
    let server = server(LIMITS).await;
    let answer = server.ask("GET /ok", "X-Request-Id: my.id-1_2\r\n", "").await;
    assert_eq!((answer.status, &*answer.body), (200, "fine"));
    assert_eq!(answer.header("x-request-id"), Some("my.id-1_2"));
    let longest = "x".repeat(128);
    let answer = server.ask("GET /ok", &format!("X-Request-Id: {longest}\r\n"), "").await;
    assert_eq!(answer.header("x-request-id"), Some(&*longest));
    for wrong in ["", "a b", "a\tb", &"x".repeat(129), "a;b", "é"] {
        let answer = server.ask("GET /ok", &format!("X-Request-Id: {wrong}\r\n"), "").await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{wrong}");
    }
    let answer = server.ask("GET /ok", "X-Request-Id: a\r\nX-Request-Id: b\r\n", "").await;
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn a_request_id_that_looks_like_a_secret_is_replaced() {
    let server = server(LIMITS).await;
    let jwt = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE3OTk5OTk5OTl9.c2ln";
    for part in [
        jwt,
        &jwt[..60],
        &jwt[..20],
        &jwt[36..70],
        "Bearer-eyJhbGciOi",
        "sk-proj-a1B2a1B2",
        "sk-a1B2a1B2a1B2a1",
        "ghp_a1B2a1",
        "xoxb-12345",
        "AKIAIOSFODNN7",
        "sk_live_a1B2",
        "github_pat_11",
        "glpat-a1B2a1",
        "hvs.CAESIa1B2",
        "x5Gq2bT0Yk9mZr4LwPq7HcVn1sDf8JtBvXyA3eKu6Mo",
    ] {
        let answer = server.ask("GET /ok", &format!("X-Request-Id: {part}\r\n"), "").await;
        assert_eq!(answer.header("x-request-id").map(str::len), Some(36), "{part}");
        assert!(!answer.head.contains(&part.to_ascii_lowercase()), "{part}");
    }
    for id in [
        "0198c0de-7a5e-7000-8000-000000000000",
        "req-42",
        "task-sky.1",
        "ask-me_2",
        "monkey",
        "framework-1",
        "surveyJob-7",
        "keyA-1",
        "Root-1-67891233-abcdef012345678912345678",
    ] {
        let answer = server.ask("GET /ok", &format!("X-Request-Id: {id}\r\n"), "").await;
        assert_eq!(answer.header("x-request-id"), Some(id.to_ascii_lowercase().as_str()));
    }
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let server = server(LIMITS).await;
    server.ask("GET /nowhere?token=x", "", "").await.is_problem(404, "not_found");
    server.ask("GET /name/%ff", "", "").await.is_problem(404, "not_found");
    server.ask("GET /name/a%0Ab", "", "").await.is_problem(404, "not_found");
    server.ask("GET /problems/none", "", "").await.is_problem(404, "not_found");
    server.ask("GET /admin", "", "").await.is_problem(401, "unauthorized");
    server.ask("POST /echo", "", "").await.is_problem(400, "malformed_request");
    server.ask("OPTIONS *", "", "").await.is_problem(404, "not_found");
    let answer = server.ask("DELETE /ok", "", "").await;
    answer.is_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("get,head"));
    let answer = server.ask("GET /admin", "Authorization: Bearer x\r\n", "").await;
    answer.is_problem(401, "unauthorized");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(
            "bearer realm=\"brune\", error=\"invalid_token\", error_description=\"not a jwt: a \
             token has three base64url parts separated by dots\""
        )
    );
    let page = server.ask("GET /problems/method-not-allowed", "", "").await;
    assert!(page.status == 200 && page.body.starts_with("method_not_allowed (405)"));
    let head = server.ask("HEAD /nowhere", "", "").await;
    assert_eq!((head.status, &*head.body), (404, ""));
}

#[tokio::test]
async fn a_problem_never_contains_the_query() {
    let server = server(LIMITS).await;
    let answer = server.ask("GET /nowhere?token=hunter2", "", "").await;
    assert!(
        !answer.body.contains("hunter2") && answer.body.contains(r#""instance":"/nowhere""#),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_panic_is_a_500_without_details() {
    let server = server(LIMITS).await;
    let answer = server.ask("GET /panic", "X-Request-Id: p-1\r\n", "").await;
    answer.is_problem(500, "internal");
    assert_eq!(answer.header("x-request-id"), Some("p-1"));
    assert!(!answer.body.contains("secret"));
    assert_eq!(server.ask("GET /ok", "", "").await.status, 200);
}

#[tokio::test]
async fn a_hanging_handler_is_answered_at_the_deadline() {
    let server = server(LIMITS).await;
    let answer = server.ask("GET /stuck", "", "").await;
    answer.is_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    // It may have committed when it was given up, so it is not said to have failed.
    server.ask("POST /stuck", "", "").await.is_problem(504, "outcome_unknown");
}

#[tokio::test]
async fn a_body_is_json_of_one_mebibyte_at_most() {
    let server = server(LIMITS).await;
    let sized = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes - 11));
    assert_eq!(server.post(&sized(1 << 20)).await.status, 200);
    server.post(&sized((1 << 20) + 1)).await.is_problem(413, "payload_too_large");
    server.post(r#"["x"]"#).await.is_problem(400, "malformed_request");
    server.post(r#"{"text":"x","text":"y"}"#).await.is_problem(400, "malformed_request");
    let typed = |kind: &str| format!("Content-Type: {kind}\r\nContent-Length: 2\r\n");
    let answer = server.ask("PATCH /patch", &typed("application/merge-patch+json"), "{}").await;
    answer.is_problem(415, "unsupported_media_type");
    assert_eq!(answer.header("accept-patch"), Some("application/json"));
    let answer = server.ask("POST /echo", &typed("text/plain"), "{}").await;
    assert_eq!((answer.status, answer.header("accept-patch")), (415, None));
}

#[tokio::test]
async fn a_chunked_body_is_limited_as_well() {
    let server = server(LIMITS).await;
    let chunk = format!("40000\r\n{}\r\n", "x".repeat(0x40000)).repeat(5);
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    server.ask("POST /echo", headers, &chunk).await.is_problem(413, "payload_too_large");
}

#[tokio::test]
async fn an_announced_oversized_body_is_rejected_unread() {
    // Whoever waited for the body would wait for an hour, and answer a 408.
    let server = server(Limits { request: Duration::from_hours(1), ..LIMITS }).await;
    let headers = "Content-Type: application/json\r\nContent-Length: 10000000000\r\n";
    server.ask("POST /echo", headers, "").await.is_problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let server = server(LIMITS).await;
    let raw = async |head: &str| server.send(format!("{head}Connection: close\r\n\r\n")).await;
    raw("GET /ok HTTP/1.1\r\n").await.is_problem(400, "malformed_request");
    raw("GET /ok HTTP/1.1\r\nHost: a\r\nHost: a\r\n").await.is_problem(400, "malformed_request");
    raw("GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n").await.is_problem(400, "malformed_request");
    raw("GET /ok HTTP/1.1\r\nHost: \r\n").await.is_problem(400, "malformed_request");
    raw("GET /ok HTTP/1.1\r\nHost: a/b\r\n").await.is_problem(400, "malformed_request");
    raw("GET /ok HTTP/1.1\r\nHost: u@a\r\n").await.is_problem(400, "malformed_request");
    raw("GET http://b/ok HTTP/1.1\r\nHost: a\r\n").await.is_problem(400, "malformed_request");
    assert_eq!(raw("GET http://a:80/ok HTTP/1.1\r\nHost: A:80\r\n").await.status, 200);
    assert_eq!(raw("GET /ok HTTP/1.1\r\nHost: [::1]:8080\r\n").await.status, 200);
    assert!((400..500).contains(&raw("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n").await.status));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = server(LIMITS).await;
    let padded = |bytes: usize| format!("X-Pad: {}\r\n", "x".repeat(bytes));
    assert_eq!(server.ask("GET /ok", &padded(15_000), "").await.status, 200);
    server.ask("GET /ok", &padded(17_000), "").await.is_problem(431, "headers_too_large");
    server.ask("GET /ok", &"A: b\r\n".repeat(65), "").await.is_problem(431, "headers_too_large");
    server
        .ask(&format!("GET /{}", "x".repeat(20_000)), "", "")
        .await
        .is_problem(431, "headers_too_large");
    let token = format!("Authorization: Bearer {}\r\n", "x".repeat(100_000));
    server.ask("GET /admin", &token, "").await.is_problem(431, "headers_too_large");
    // Beyond what is worth reading, the connection is closed with the bare status.
    let answer = server.ask("GET /ok", &padded(300_000), "").await;
    assert!(matches!(answer.status, 0 | 431), "{}", answer.head);
}
