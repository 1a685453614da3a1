//! Heads that cannot be read: each is answered by a problem document where HTTP allows an answer.

use crate::support::{LIMITS, server};

#[tokio::test]
async fn an_invalid_head_is_answered_with_a_problem() {
    let server = server(LIMITS).await;
    let post = |line: &str| format!("POST /echo HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
    for head in [
        post("Content-Length: 18446744073709551616"),
        post("Content-Length: 99999999999999999999999999999999"),
        post("Content-Length: -1"),
        post("Content-Length: 1, 2"),
        post("Content-Length: x"),
        post("Content-Length: 5\r\nContent-Length: 6"),
        post("Transfer-Encoding: gzip"),
        post("Transfer-Encoding: chunked, gzip"),
        post("Bad Name: x"),
        post("X: a\0b"),
        "GET\r\n\r\n".to_owned(),
        "GET /ok HTTP/9.9\r\n\r\n".to_owned(),
        "GET /ok\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        // The beginning of a TLS handshake.
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned(),
    ] {
        let answer = server.send(&head).await;
        answer.is_problem(400, "malformed_request");
        assert_eq!(answer.header("connection"), Some("close"), "{head:?}");
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("content-length"), Some(length.as_str()), "{head:?}");
        assert!(answer.header("date").is_some(), "{head:?}");
    }
    assert_eq!(server.ask("GET /ok", "", "").await.status, 200);
}

#[tokio::test]
async fn an_oversized_head_is_answered_with_a_problem() {
    let server = server(LIMITS).await;
    let many = "A: b\r\n".repeat(600);
    server.ask("GET /ok", &many, "").await.is_problem(431, "headers_too_large");
    let line = format!("GET /{}", "x".repeat(70_000));
    server.ask(&line, "", "").await.is_problem(431, "headers_too_large");
}

#[tokio::test]
async fn a_problem_follows_the_response_to_the_previous_request() {
    let server = server(LIMITS).await;
    let both = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n\0garbage\r\n\r\n";
    let answer = server.send(both).await;
    assert!(answer.status == 200 && answer.body.starts_with("fine"), "{}", answer.body);
    assert!(answer.body.contains("malformed_request"), "{}", answer.body);
}

#[tokio::test]
async fn an_invalid_chunked_body_is_a_problem() {
    let server = server(LIMITS).await;
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    for chunk in ["zz\r\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}\r\n", "-1\r\n{}\r\n"] {
        server.ask("POST /echo", headers, chunk).await.is_problem(400, "malformed_request");
    }
}

#[tokio::test]
async fn http_2_is_closed_without_a_response() {
    let server = server(LIMITS).await;
    let answer = server.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!((answer.status, &*answer.body), (0, ""), "{}", answer.head);
}
