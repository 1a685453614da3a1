//! What an operator meets when nothing works.

use brune::{
    clock::Clock,
    http::{Grant, SUPER_ADMIN, issue},
};
use chrono::TimeDelta;

use crate::{
    proxy,
    service::{Room, Service, run},
    support::{auth, port::Port, user},
};

fn list(url: &str, token: &str) -> crate::service::Run {
    let room = Room::new();
    run(room.command(&["config", "list"]).env("BRUNE_URL", url).env("BRUNE_TOKEN", token))
}

#[test]
fn an_unreachable_address_is_reported_with_its_reason() {
    let port = Port::reserve();
    list(&format!("http://{}", port.address()), "x").ends(3, "does not answer: Connection refused");
    list("not an address", "x").ends(2, "BRUNE_URL");
}

#[test]
fn a_response_of_another_server_is_reported() {
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nx-request-id: 1\r\n\
                content-length: 13\r\nconnection: close\r\n\r\n<h1>Login</h1>";
    let broken = "HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\nx-request-id: 1\r\n\
                  content-length: 0\r\nconnection: close\r\n\r\n";
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/login\r\n\
                     content-length: 0\r\nconnection: close\r\n\r\n";
    let plain = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                 connection: close\r\n\r\n{}";
    for answer in [page, broken, elsewhere, plain, "nonsense\r\n\r\n"] {
        let output = list(&format!("http://{}", proxy::answering(answer)), "x");
        assert_eq!(output.code, 3, "{answer}: {output:#?}");
        assert_eq!(output.out, "", "{answer}");
    }
    let output = list(&format!("http://{}", proxy::answering(page)), "x");
    output.ends(3, "(status 200) is from a proxy or another program");
}

#[tokio::test]
async fn an_invalid_token_is_reported() {
    let service = Service::start().await;
    let url = format!("http://{}", service.address);
    let role = Some(SUPER_ADMIN.to_owned());
    let ada = Grant { sub: "ada".to_owned(), role, ..Grant::default() };
    let yesterday = Clock::system().now() - TimeDelta::days(1);
    let expired = issue(&auth(), &ada, yesterday, TimeDelta::hours(1)).unwrap();
    for bad in ["nonsense", &expired] {
        list(&url, bad).ends(1, "set BRUNE_TOKEN to a valid token");
    }
    list(&url, &user("ana")).ends(1, "SUPER_ADMIN");
}

#[test]
fn a_missing_address_or_token_is_reported_with_its_variable() {
    let room = Room::new();
    run(&mut room.command(&["config", "list"])).ends(2, "BRUNE_URL: is required");
    run(room.command(&["config", "list"]).env("BRUNE_URL", "http://127.0.0.1:1"))
        .ends(2, "BRUNE_TOKEN: is required");
    room.write(".env", "BRUNE_URL=http://127.0.0.1:1\nnonsense\n");
    run(&mut room.command(&["config", "list"])).ends(2, ".env line 2");
}

#[test]
fn an_invalid_address_is_reported_with_its_variable() {
    for (url, told) in [
        ("localhost:8080", "BRUNE_URL: must begin with http:// or https://"),
        ("//hunter2.test", "BRUNE_URL: must begin with http:// or https://"),
        ("ftp://hunter2.test", "BRUNE_URL: must begin with http:// or https://"),
        ("http://", "BRUNE_URL: must have a host"),
        ("http://hunter2.test:port", "BRUNE_URL: must have a host"),
        ("http://ada:hunter2@127.0.0.1:1", "BRUNE_URL: must not have a user or a password"),
        ("http://127.0.0.1:1/?hunter2", "BRUNE_URL: must not have a query or a fragment"),
        ("http://127.0.0.1:1/#hunter2", "BRUNE_URL: must not have a query or a fragment"),
    ] {
        let output = list(url, "x").ends(2, told);
        assert!(!output.err.contains("hunter2"), "{url}: {output:#?}");
    }
    let room = Room::new();
    let health = |url: &str| run(&mut room.command(&["health", "--url", url]));
    for (url, told) in [
        ("localhost:8080", "must begin with http://"),
        ("https://127.0.0.1:1/readyz", "must begin with http://"),
        ("ftp://hunter2.test", "must begin with http://"),
        ("http://ada:hunter2@127.0.0.1:1/", "must not have a user or a password"),
    ] {
        let output = health(url).ends(2, told);
        assert!(
            !output.err.contains("hunter2") && output.err.contains("--url"),
            "{url}: {output:#?}"
        );
    }
}

#[tokio::test]
async fn an_address_may_have_a_path() {
    let service = Service::start().await;
    let beneath = proxy::stripping(&service.address, "/ops/brune");
    for url in ["/ops/brune", "/ops/brune/"] {
        let url = format!("http://{beneath}{url}");
        let output = list(&url, &crate::support::admin("ada"));
        assert_eq!(output.code, 0, "{url}: {output:#?}");
    }
}

#[test]
fn completions_include_every_command() {
    let room = Room::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&mut room.command(&["completions", shell])).ends(0, "").out;
        for word in
            ["rollback", "on-conflict", "watch", "to-revision", "release", "restore", "starts"]
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    run(&mut room.command(&["config", "list", "-o", "xml"])).ends(2, "possible values");
}
