//! A crowd that never reads: it fills what it may fill, is told no clearly, and leaves room for everybody else.

use std::{fs, time::Duration};

use axum::http::StatusCode;
use brune::http::{Limits, StreamBounds};
use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    INTERNAL_KEY, Instance, TestApp,
    sse::Served,
    wait::{no_hang, wait_until},
};

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

/// How long idle connections live: longer than each crowd takes to arrive.
const IDLE: Duration = Duration::from_secs(40);

/// As many as the machine lets this process have, both ends of each and what else is open, up to ten thousand.
fn size() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(500) * 5 / 7;
    usize::try_from(most.min(10_000)).unwrap()
}

/// Connections that send `said` and read nothing.
async fn crowd(served: &Served, size: usize, said: &str) -> Vec<TcpStream> {
    let connect = async |_| {
        let mut connection = TcpStream::connect(served.address).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        connection
    };
    stream::iter(0..size).map(connect).buffer_unordered(200).collect().await
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What this process has in memory, in kilobytes.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A crowd that comes while others ask, each on a connection of its own, and are answered.
async fn beside_others(served: &Served, size: usize, said: &str) -> Vec<TcpStream> {
    let others = async {
        loop {
            other_is_answered(served).await;
        }
    };
    let crowd = tokio::select! {
        crowd = crowd(served, size, said) => crowd,
        () = others => Vec::new(),
    };
    other_is_answered(served).await;
    crowd
}

async fn other_is_answered(served: &Served) {
    let ask = reqwest::Client::new().post(format!("http://{}{FLAGS}", served.address));
    let ask = ask.header("x-api-key", INTERNAL_KEY).send();
    let answer = no_hang("others are answered", ask).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_clients_are_served_beside_ten_thousand_connections_that_never_read() {
    let size = size();
    let streams = size / 4;
    let connections = size * 2 / 5;
    let bounds = StreamBounds { instance: streams, ..StreamBounds::default() };
    let app = TestApp::new().await;
    let instance = Instance::builder(app.db.pool()).stream_bounds(bounds).start().await;
    let served =
        Served::of(&instance, Limits { connections, head: IDLE, ..Limits::default() }).await;
    let descriptors_before = descriptors();
    let memory_before = memory();

    let page: Value = instance.post(FLAGS).header("x-api-key", INTERNAL_KEY).send().await.ok();
    let events = page["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap();
    let asks_events = format!("GET {events} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut listening = beside_others(&served, size / 2, &asks_events).await;
    assert_eq!(instance.streams.open(), streams);
    let asks = format!("POST {FLAGS} HTTP/1.1\r\nHost: a\r\nX-API-Key: {INTERNAL_KEY}\r\n\r\n");
    let mut actual_connections = beside_others(&served, size * 3 / 10, &asks).await;
    actual_connections.extend(beside_others(&served, size / 5, "").await);
    let grown = memory().saturating_sub(memory_before);
    assert!(grown < 30 * size, "{grown} kB for {size} connections");

    // Those who came too late have been told so.
    let mut refusals = 0;
    for connection in &mut listening {
        let mut head = [0; 1_500];
        let read = no_hang("the connection is answered", connection.read(&mut head)).await;
        let head = String::from_utf8_lossy(&head[..read.unwrap()]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 5"), "{head}");
            refusals += 1;
        }
    }
    assert_eq!(refusals, listening.len() - streams);

    drop((listening, actual_connections));
    wait_until("no stream is left", async || instance.streams.open() == 0).await;
    let given_back = async || descriptors() < descriptors_before + 50;
    wait_until("the descriptors are given back", given_back).await;
}
