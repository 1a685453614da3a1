//! Clients that stall: how long each is kept, and what others notice of them.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    catalog,
    client::Client,
    program::Program,
    table::{Times, figure, line},
    world::{World, admin, admin_called},
};

const SETTINGS: usize = 10_000;
/// Of each kind.
const CLIENTS: usize = 500;
const ROUNDS: usize = 2;
/// How long others are measured, with and without them.
const SPAN: Duration = Duration::from_secs(15);
const BAR_S: f64 = 15.0;
const BAR_P99: f64 = 2.0;
/// Longer than any is kept.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
enum Kind {
    SlowHead,
    SlowBody,
    Silent,
    NotReading,
}

const KINDS: [Kind; 4] = [Kind::SlowHead, Kind::SlowBody, Kind::Silent, Kind::NotReading];

pub(crate) async fn run(world: &mut World) {
    let file = world.scratch("stalled.toml");
    fs::write(&file, catalog::text(SETTINGS)).unwrap();
    world.database("stalled", &catalog::generated(SETTINGS)).await.close().await;
    let program = Program::start(&world.url("stalled"), Some(&file)).await;
    let mut alone = Times::new();
    let mut beside = Times::new();
    let mut stored = [0.0_f64; KINDS.len()];
    others(program.address, Duration::from_secs(2)).await;
    for _ in 0..ROUNDS {
        alone.join(&others(program.address, SPAN).await);
        let mut stalled = JoinSet::new();
        for (at, kind) in KINDS.into_iter().enumerate() {
            for _ in 0..CLIENTS {
                let address = program.address;
                // One after the other: a crowd that the kernel has not handed over yet is nothing the service knows of.
                let turn = Duration::from_millis(1) * u32::try_from(stalled.len()).unwrap();
                stalled.spawn(async move {
                    sleep(turn).await;
                    (at, stall(kind, address).await)
                });
            }
        }
        beside.join(&others(program.address, SPAN).await);
        while let Some(ended) = stalled.join_next().await {
            let (at, seconds) = ended.unwrap();
            stored[at] = stored[at].max(seconds);
        }
    }
    let clients = CLIENTS * KINDS.len();
    let figures = format!("{alone} / {beside}, slowest {:.1}", beside.at(1.0));
    let what = format!("others beside {clients} that stall, p99");
    line(&what, beside.p99() / alone.p99(), BAR_P99, false, &figures);
    for (kind, seconds) in KINDS.iter().zip(stored) {
        figure(&format!("{kind:?}, until the last is closed"), seconds, BAR_S, "s", "");
    }
    if let Some(peak) = program.peak() {
        println!("most memory {peak:.1} MB");
    }
    program.stop().await;
}

/// What others wait, who ask for one setting again and again.
async fn others(address: SocketAddr, span: Duration) -> Times {
    let mut times = Times::new();
    let token = admin();
    let path = format!("/admin/global-settings/{}", catalog::key(4));
    let started_at = Instant::now();
    let mut client = Client::of(address).await;
    while started_at.elapsed() < span {
        let request = Instant::now();
        client.expect(Method::GET, &path, &token, String::new()).await;
        times.add(request.elapsed());
        sleep(Duration::from_millis(2)).await;
    }
    times
}

/// Stalls in one way, and returns the seconds until the service ended it.
async fn stall(kind: Kind, address: SocketAddr) -> f64 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut started_at = Instant::now();
    let token = admin_called("stalled");
    let request = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{more}")
    };
    let json = "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    let opening = match kind {
        Kind::SlowHead => request("GET /admin/global-settings", "X-Slow: "),
        Kind::SlowBody => request("PATCH /admin/global-settings", json),
        Kind::Silent => String::new(),
        Kind::NotReading => request("GET /admin/global-settings", "\r\n"),
    };
    // The service may end it at any time.
    let _ = stream.write_all(opening.as_bytes()).await;
    if matches!(kind, Kind::NotReading) {
        // Until its answer begins it is the service that is waited for.
        stream.readable().await.unwrap();
        started_at = Instant::now();
    }
    let trickles = matches!(kind, Kind::SlowHead | Kind::SlowBody);
    let ended = timeout(PATIENCE, until_ended(&mut stream, trickles)).await;
    assert!(ended.is_ok(), "{kind:?} is still open after {PATIENCE:?}");
    started_at.elapsed().as_secs_f64()
}

/// Waits until the service has ended the connection; reads only where something is sent, so that an answer is not what
/// keeps it open.
async fn until_ended(stream: &mut TcpStream, trickles: bool) {
    let mut part = [0; 1024];
    loop {
        let ready = stream.ready(Interest::READABLE | Interest::ERROR);
        if let Ok(ready) = timeout(Duration::from_secs(1), ready).await {
            let ready = ready.unwrap();
            if ready.is_read_closed() || ready.is_error() {
                return;
            }
        }
        if trickles {
            if stream.write_all(b"x").await.is_err() {
                return;
            }
            let _ = timeout(Duration::from_millis(1), stream.read(&mut part)).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
}
