//! What a connection may do, and what becomes of it.

use std::{fs::File, time::Duration};

use brune::http::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
};

use crate::{
    support::{Answer, LIMITS, Server, server, until_closed},
    wait::{Stopwatch, no_hang},
};

/// A limit that no test reaches: one that waited for it would hang, and fail.
const NEVER: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_trickling_body_is_rejected_with_408() {
    let server = server(LIMITS).await;
    let headers = "Content-Type: application/json\r\nContent-Length: 100\r\n";
    // The client wants to keep the connection; the server, with half a body unread, must not.
    let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{headers}\r\n{{");
    server.send(head).await.is_problem(408, "request_timeout");
}

#[tokio::test]
async fn garbage_closes_only_its_own_connection() {
    let server = server(LIMITS).await;
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /ok HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
        "GET /ok HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ] {
        let answer = server.send(garbage).await;
        assert!(matches!(answer.status, 0 | 400), "{garbage:?}: {}", answer.head);
    }
    // Behind a sound request, garbage takes nothing away from its answer.
    let both = "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n\0garbage\r\n\r\n";
    let answer = server.send(both).await;
    assert!(answer.status == 200 && answer.body.starts_with("fine"), "{}", answer.body);
    assert_eq!(server.ask("GET /ok", "", "").await.status, 200);
}

#[tokio::test]
async fn bare_line_feeds_get_one_response() {
    let server = server(LIMITS).await;
    let answer = server.send("GET /ok HTTP/1.1\nHost: a\nConnection: close\n\n").await;
    assert_eq!((answer.status, &*answer.body), (200, "fine"));
}

#[tokio::test]
async fn silent_and_half_open_connections_are_closed() {
    // Only the limit on heads can end these.
    let limits = Limits { write: NEVER, request: NEVER, ..LIMITS };
    let server = server(limits).await;
    let mut connections = Vec::new();
    for said in ["", "GET /ok HTTP/1.1\r\nHost: a\r\nX-", "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"] {
        for _ in 0..100 {
            let mut stream = server.connect().await;
            stream.write_all(said.as_bytes()).await.unwrap();
            connections.push(stream);
        }
    }
    for stream in &mut connections {
        until_closed(stream).await;
    }
}

#[tokio::test]
async fn a_trickling_head_is_closed() {
    let server = server(LIMITS).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /ok HTTP/1.1\r\n").await.unwrap();
    // Each line alone comes well within the limit; only all of them together do not.
    let mut ticks = tokio::time::interval(LIMITS.head / 10);
    let trickle = async {
        while stream.write_all(b"X-A: b\r\n").await.is_ok() {
            ticks.tick().await;
        }
    };
    no_hang("the server closes the connection", trickle).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_delay_shutdown() {
    let mut server = server(Limits { drain: NEVER, ..LIMITS }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    stream.readable().await.unwrap();
    // With nothing else to wait for, draining ends when that connection does.
    server.shutdown.cancel();
    no_hang("the server cuts the connection and ends", &mut server.task).await.unwrap();
}

/// A client that asks for `path` and whose kernel takes little on its behalf.
async fn reader_of(server: &Server, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_connection_whose_client_never_reads_is_reset() {
    // Idle connections are closed much later, so that only the limit on writes can end these.
    let server = server(Limits { head: NEVER, ..LIMITS }).await;
    let mut connections = Vec::new();
    for path in ["/large", "/medium", "/events"] {
        for _ in 0..20 {
            connections.push((path, reader_of(&server, path).await));
        }
    }
    for (path, stream) in &connections {
        // Not a byte is read: only a reset can be noticed.
        let expected = format!("the connection to {path} is reset");
        let ready = no_hang(&expected, stream.ready(Interest::ERROR)).await.unwrap();
        assert!(ready.is_error(), "{path} is still open");
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_cut_off() {
    let server = server(LIMITS).await;
    let mut stream = reader_of(&server, "/large").await;
    let mut ticks = tokio::time::interval(LIMITS.write / 20);
    let reading = async {
        let mut part = [0; 128];
        while stream.read(&mut part).await.is_ok_and(|bytes| bytes > 0) {
            ticks.tick().await;
        }
    };
    no_hang("the server cuts the connection", reading).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_steadily_gets_everything() {
    let server = server(LIMITS).await;
    let mut stream = reader_of(&server, "/medium").await;
    let mut ticks = tokio::time::interval(LIMITS.write / 20);
    let mut part = vec![0; 16 * 1024];
    let mut all = 0;
    while all < 1024 * 1024 {
        let bytes = no_hang("more of the answer", stream.read(&mut part)).await.unwrap();
        assert!(bytes > 0, "cut off after {all} bytes");
        all += bytes;
        ticks.tick().await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = server(Limits { connections: 2, ..LIMITS }).await;
    let idle = [server.connect().await, server.connect().await];
    let stopwatch = Stopwatch::start();
    let answer = server.ask("GET /ok", "", "").await;
    // It was answered when the idle ones had been closed.
    assert_eq!(answer.status, 200);
    stopwatch.assert_at_least(LIMITS.head / 2);
    drop(idle);
}

#[tokio::test]
async fn shutdown_finishes_a_request_in_progress_and_accepts_no_more() {
    let mut server = server(Limits { request: NEVER, drain: NEVER, ..LIMITS }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    no_hang("the request reaches its handler", server.reached.recv()).await;
    server.shutdown.cancel();
    let refusal = async { while TcpStream::connect(server.address).await.is_ok() {} };
    no_hang("new connections are refused", refusal).await;
    assert!(!server.task.is_finished(), "refused only after the last answer");
    server.release.notify_one();
    let answer = Answer::read(&until_closed(&mut stream).await);
    assert_eq!((answer.status, &*answer.body), (200, "slowly"));
    assert_eq!(answer.header("connection"), Some("close"));
    no_hang("the server ends", &mut server.task).await.unwrap();
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_its_limit() {
    let limits = Limits { request: NEVER, drain: Duration::from_millis(200), ..LIMITS };
    let mut server = server(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // An answer to a second connection says that the first one was accepted.
    server.ask("GET /ok", "", "").await;
    server.shutdown.cancel();
    no_hang("the server ends", &mut server.task).await.unwrap();
    assert_eq!(until_closed(&mut stream).await, "");
}

/// Run by `the_server_survives_running_out_of_descriptors`; with the usual number of them it fails.
#[tokio::test]
#[ignore = "run by the test that limits its descriptors"]
async fn with_few_descriptors() {
    let server = server(Limits { head: NEVER, ..LIMITS }).await;
    let spare = File::open("/dev/null").unwrap();
    let mut connections = Vec::new();
    // Both ends of each connection are of this process, so that the server runs out as well.
    while let Ok(stream) = TcpStream::connect(server.address).await {
        connections.push(stream);
        assert!(connections.len() < 1000, "descriptors are not limited");
    }
    // Nothing runs between the two, so that the client's end takes the descriptor, and none is left to accept with.
    drop(spare);
    let mut stream = server.connect().await;
    assert!(File::open("/dev/null").is_err(), "the server could accept");
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    drop(connections);
    assert_eq!(Answer::read(&until_closed(&mut stream).await).status, 200);
}

#[test]
fn the_server_survives_running_out_of_descriptors() {
    let this = std::env::current_exe().unwrap();
    let script = r#"ulimit -n 48 && exec "$0" --exact connections::with_few_descriptors --ignored"#;
    let run = std::process::Command::new("sh").args(["-c", script]).arg(this).output().unwrap();
    let actual_output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && actual_output.contains("1 passed"), "{actual_output}");
}
