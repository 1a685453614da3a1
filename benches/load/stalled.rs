//! Clients that stall: how long each stays connected, and the latency of other clients during that time.

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
/// Clients of each kind.
const CLIENTS: usize = 500;
const ROUNDS: usize = 2;
/// How long another client is measured in each round, alone and beside the stalled clients.
const SPAN: Duration = Duration::from_secs(15);
const BAR_S: f64 = 15.0;
const BAR_P99: f64 = 2.0;
/// The limit of the wait for a disconnection.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// The way in which a client stalls.
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
    let mut longest = [0.0_f64; KINDS.len()];
    measure_client(program.address, Duration::from_secs(2)).await;
    for _ in 0..ROUNDS {
        alone.join(&measure_client(program.address, SPAN).await);
        let mut stalled = JoinSet::new();
        for (at, kind) in KINDS.into_iter().enumerate() {
            for _ in 0..CLIENTS {
                let address = program.address;
                // One after the other: connections that wait in the kernel's queue are unknown to the service.
                let delay = Duration::from_millis(1) * u32::try_from(stalled.len()).unwrap();
                stalled.spawn(async move {
                    sleep(delay).await;
                    (at, stall(kind, address).await)
                });
            }
        }
        beside.join(&measure_client(program.address, SPAN).await);
        while let Some(result) = stalled.join_next().await {
            let (at, seconds) = result.unwrap();
            longest[at] = longest[at].max(seconds);
        }
    }
    let clients = CLIENTS * KINDS.len();
    let figures = format!("{alone} / {beside}, slowest {:.1}", beside.at(1.0));
    let what = format!("a client beside {clients} stalled, p99");
    line(&what, beside.p99() / alone.p99(), BAR_P99, false, &figures);
    for (kind, seconds) in KINDS.iter().zip(longest) {
        figure(&format!("{kind:?}, until the last is closed"), seconds, BAR_S, "s", "");
    }
    if let Some(peak) = program.peak() {
        println!("peak memory {peak:.1} MB");
    }
    program.stop().await;
}

/// Reads one setting repeatedly for `span`. Returns the latencies.
async fn measure_client(address: SocketAddr, span: Duration) -> Times {
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

/// Opens a connection and stalls. Returns the seconds until the service closed the connection.
async fn stall(kind: Kind, address: SocketAddr) -> f64 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut started_at = Instant::now();
    let token = admin_called("stalled");
    let request = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{rest}")
    };
    let json = "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    let opening = match kind {
        Kind::SlowHead => request("GET /admin/global-settings", "X-Slow: "),
        Kind::SlowBody => request("PATCH /admin/global-settings", json),
        Kind::Silent => String::new(),
        Kind::NotReading => request("GET /admin/global-settings", "\r\n"),
    };
    // The service may close the connection at any time.
    let _ = stream.write_all(opening.as_bytes()).await;
    if matches!(kind, Kind::NotReading) {
        // Until the response begins, the client waits for the service and does not stall.
        stream.readable().await.unwrap();
        started_at = Instant::now();
    }
    let trickles = matches!(kind, Kind::SlowHead | Kind::SlowBody);
    let closed = timeout(WAIT_LIMIT, until_closed(&mut stream, trickles)).await;
    assert!(closed.is_ok(), "{kind:?} is still open after {WAIT_LIMIT:?}");
    started_at.elapsed().as_secs_f64()
}

/// Waits until the service has closed the connection. Reads only in the kinds that send bytes: in the others an unread
/// response must stay unread.
async fn until_closed(stream: &mut TcpStream, trickles: bool) {
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
