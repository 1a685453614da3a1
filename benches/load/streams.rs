//! 2,000 event streams: the time until each receives a change, and the memory of each.

use std::time::{Duration, Instant};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    client::Client,
    program::Program,
    table::{Times, figure},
    world::{World, admin, admin_called},
};

const PATH: &str = "/admin/global-settings/stream";
const STREAMS: usize = 2_000;
const CHANGES: usize = 20;
/// The bar of the time until the last stream receives a change.
const DELIVERY_BAR_MS: f64 = 1_000.0;
/// The bar of the memory of each stream.
const MEMORY_BAR_KB: f64 = 30.0;

pub(crate) async fn run(world: &mut World) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    world.database("streams", &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    // A process of its own, so that the memory of the clients is not included.
    let program = Program::start(&world.url("streams"), None).await;
    let idle = program.resident();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    for n in 0..STREAMS {
        let token = admin_called(&format!("reader-{}", n / 10));
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        let head =
            format!("GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        until(&mut stream, b"retry: ").await;
        let sender = sender.clone();
        streams.spawn(async move {
            while until(&mut stream, b"event: change").await {
                let _ = sender.send(Instant::now());
            }
        });
    }
    let mut times = Times::new();
    let mut client = Client::of(program.address).await;
    let mut version = 1;
    for _ in 0..CHANGES {
        let change =
            json!({"key": "BRUNE_COOLDOWN_MINUTES", "value": version % 200, "version": version});
        let body = json!({"reason": "measuring", "changes": [change]}).to_string();
        let path = "/admin/global-settings";
        let answer = client.expect(Method::PATCH, path, &admin(), body).await;
        let committed = Instant::now();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        version = answer["changed"][0]["version"].as_i64().unwrap();
        for _ in 0..STREAMS {
            let at = tokio::time::timeout(Duration::from_secs(30), receiver.recv()).await;
            let at = at.unwrap().unwrap();
            times.add(at.saturating_duration_since(committed));
        }
    }
    let figures =
        format!("median {:.1}, over {CHANGES} changes and {STREAMS} streams", times.median());
    figure("until the last receives a change", times.at(1.0), DELIVERY_BAR_MS, "ms", &figures);
    match (idle, program.resident()) {
        (Some(idle), Some(busy)) => {
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let each = (busy - idle) * 1e3 / STREAMS as f64;
            let figures = format!("{idle:.1} MB idle, {busy:.1} MB with all streams");
            figure("memory of each stream", each, MEMORY_BAR_KB, "kB", &figures);
        }
        _ => println!("resident memory cannot be read here"),
    }
    streams.abort_all();
    program.stop().await;
}

/// Reads until `what` was received; returns `false` at the end of the stream.
pub(crate) async fn until(stream: &mut TcpStream, what: &[u8]) -> bool {
    let mut events = Vec::new();
    let mut part = [0; 1024];
    loop {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return false,
            Ok(read) => events.extend_from_slice(&part[..read]),
        }
        if events.windows(what.len()).any(|window| window == what) {
            return true;
        }
    }
}
