//! The memory of an instance, of connections, streams and settings.

use std::{fs, time::Duration};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use super::rounded;
use crate::{
    catalog,
    client::Client,
    program::Program,
    streams::until,
    world::{World, admin_called},
};

/// Connections and streams; a caller may have 20 streams.
const CONNECTIONS: usize = 2_000;
const STREAMS_OF_ONE: usize = 10;
/// Change sets that the feed keeps.
const FEED: usize = 256;
const SETTINGS: usize = 10_000;
/// Changes that are sent to all streams.
const CHANGES: usize = 20;
const WARM_UP: usize = 50;
/// Writes of one administrator: the default limit is 60 a minute.
const WRITES_OF_ONE: usize = 50;
/// The time until the memory that only the start needs is released.
const SETTLE: Duration = Duration::from_secs(3);

/// Megabytes and kilobytes of resident memory.
pub(super) struct Memory {
    /// Of an idle instance with nine settings, in megabytes; the others in kilobytes.
    pub(super) idle: f64,
    pub(super) connection: f64,
    pub(super) stream: f64,
    pub(super) setting: f64,
    pub(super) change_set: f64,
    /// Microseconds of processor time to send a change to one stream.
    event: f64,
}

impl Memory {
    pub(super) fn print(&self) {
        println!("\n| what | resident memory |\n|---|---|");
        println!("| an instance, idle, nine settings | {} MB |", rounded(self.idle));
        println!("| an idle connection | {} kB |", rounded(self.connection));
        println!("| an event stream | {} kB |", rounded(self.stream));
        println!(
            "| a setting: its declaration, its value and its flag | {} kB |",
            rounded(self.setting)
        );
        println!(
            "| a change set of one key in the feed, at most {FEED} | {} kB |",
            rounded(self.change_set)
        );
        println!("\nTo send a change to one stream: {} µs of processor time.", rounded(self.event));
    }
}

pub(super) async fn measure(world: &mut World) -> Memory {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let name = "capacity_memory";
    world.database(name, &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    let program = Program::start(&world.url(name), None).await;
    sleep(SETTLE).await;
    let idle = resident(&program);
    let connection = connections(&program).await;
    program.stop().await;
    let program = Program::start(&world.url(name), None).await;
    let (stream, event) = streams(&program).await;
    program.stop().await;
    let program = Program::start(&world.url(name), None).await;
    let change_set = change_sets(&program).await;
    program.stop().await;
    let large = idle_with(world, SETTINGS).await;
    let small = idle_with(world, 10).await;
    let setting = each(large - small, SETTINGS - 10);
    Memory { idle, connection, stream, setting, change_set, event }
}

fn resident(program: &Program) -> f64 {
    program.resident().unwrap()
}

/// Returns the kilobytes of each of `count` parts.
fn each(megabytes: f64, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = count as f64;
    megabytes * 1e3 / count
}

/// Returns the memory of a connection after one request, in kilobytes.
async fn connections(program: &Program) -> f64 {
    let before = resident(program);
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        until(&mut stream, b"\r\n\r\n").await;
        open.push(stream);
    }
    each(resident(program) - before, CONNECTIONS)
}

/// Returns the memory of a stream in kilobytes, and the processor time of an event in microseconds.
async fn streams(program: &Program) -> (f64, f64) {
    sleep(SETTLE).await;
    let before = resident(program);
    let mut open = Vec::new();
    for n in 0..CONNECTIONS {
        let token = admin_called(&format!("reader-{}", n / STREAMS_OF_ONE));
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        let head = format!(
            "GET /admin/global-settings/stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        until(&mut stream, b"retry: ").await;
        open.push(stream);
    }
    let memory = each(resident(program) - before, CONNECTIONS);
    let mut writer = Writer::new(program).await;
    let mut total = Duration::ZERO;
    for _ in 0..CHANGES {
        let before = program.processor_time().unwrap();
        writer.change().await;
        for stream in &mut open {
            until(stream, b"event: change").await;
        }
        total += program.processor_time().unwrap().saturating_sub(before);
    }
    drop(open);
    // A change itself, without streams, is not part of an event.
    let before = program.processor_time().unwrap();
    for _ in 0..CHANGES {
        writer.change().await;
    }
    let alone = program.processor_time().unwrap().saturating_sub(before);
    let events = total.saturating_sub(alone).as_secs_f64() * 1e3;
    (memory, each(events, CHANGES * CONNECTIONS))
}

/// An administrator who changes one setting repeatedly.
struct Writer {
    client: Client,
    version: i64,
    changes: usize,
}

impl Writer {
    async fn new(program: &Program) -> Self {
        let mut client = Client::of(program.address).await;
        let path = "/admin/global-settings/BRUNE_COOLDOWN_MINUTES";
        let token = admin_called("writer");
        // Other measurements with the same database may have changed the setting.
        let setting = client.expect(Method::GET, path, &token, String::new()).await;
        let setting: Value = serde_json::from_slice(&setting).unwrap();
        Self { client, version: setting["version"].as_i64().unwrap(), changes: 0 }
    }

    async fn change(&mut self) {
        let value = self.version % 200;
        let change =
            json!({"key": "BRUNE_COOLDOWN_MINUTES", "value": value, "version": self.version});
        let body = json!({"reason": "measuring", "changes": [change]}).to_string();
        let token = admin_called(&format!("writer-{}", self.changes / WRITES_OF_ONE));
        self.changes += 1;
        let path = "/admin/global-settings";
        let answer = self.client.expect(Method::PATCH, path, &token, body).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        self.version = answer["changed"][0]["version"].as_i64().unwrap();
    }
}

/// Fills the feed. Returns the memory of a change set in kilobytes: after the warm-up, a change keeps no other memory.
async fn change_sets(program: &Program) -> f64 {
    let mut writer = Writer::new(program).await;
    for _ in 0..WARM_UP {
        writer.change().await;
    }
    let before = resident(program);
    for _ in 0..FEED {
        writer.change().await;
    }
    each(resident(program) - before, FEED)
}

/// Returns the memory of an idle instance with `settings` settings, in megabytes.
async fn idle_with(world: &mut World, settings: usize) -> f64 {
    let name = format!("capacity{settings}");
    let file = world.scratch(&format!("{name}.toml"));
    fs::write(&file, catalog::text(settings)).unwrap();
    world.database(&name, &catalog::generated(settings)).await.close().await;
    let program = Program::start(&world.url(&name), Some(&file)).await;
    sleep(SETTLE).await;
    let resident = resident(&program);
    program.stop().await;
    resident
}
