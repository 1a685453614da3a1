//! Session starts, compared with a bare handler that inserts the same row.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use sqlx::Executor as _;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    bare_insert,
    client::Client,
    pgbench,
    table::{Times, line, median},
    world::{Instance, World, user},
};

/// Concurrent clients, with the bar of each rate.
const CLIENTS: [(usize, f64); 2] = [(8, 1.0), (32, 1.3)];
/// Starts of one turn, and turns of the service and of the bare handler.
const STARTS: usize = 4_000;
const TURNS: usize = 9;
/// The bar of one client's median latency, and the starts per turn of that measurement.
const LATENCY_BAR: f64 = 1.15;
const LATENCY_STARTS: usize = 300;
/// The maximum duration of the measurement with one number of clients.
const LIMIT: Duration = Duration::from_secs(90);

pub(crate) async fn run(world: &mut World) {
    let pool = world.database("starts", &Catalog::parse(BRUN_E).unwrap()).await;
    let instance = Instance::builder(pool.clone()).start().await;
    let mut bare = JoinSet::new();
    let least = bare_insert::serve(pool.connections(), &mut bare).await;
    let postmaster = world.server.postmaster();
    // Plans are made for a table with sessions, as they are after the first minute of a new database, when autovacuum
    // has analyzed the table.
    turn(1, STARTS, least, Kind::Least, &mut Times::new()).await;
    pool.connections().execute("analyze brune_session").await.unwrap();
    compare_latency(&instance, least).await;
    for (clients, bar) in CLIENTS {
        compare(clients, bar, &instance, least, postmaster).await;
        let script = (&*world.scratch("insert.sql"), pgbench::SESSION);
        match pgbench::rate(&world.server, "starts", clients, script, 5).await {
            Some(rate) => println!("  pgbench, the same insert: {rate:.0}/s"),
            None => println!("  pgbench is not installed"),
        }
    }
    bare.abort_all();
    instance.end().await;
}

/// Compares the median latency of a single client, so that no start shares a statement.
async fn compare_latency(instance: &Instance, least: SocketAddr) {
    let mut ratios = Vec::new();
    let mut times = [Times::new(), Times::new()];
    // The first turn opens connections and prepares statements, and does not count.
    for is_warm in std::iter::once(false).chain([true; TURNS]) {
        let mut real = Times::new();
        let mut bare = Times::new();
        turn(1, LATENCY_STARTS, instance.address(), Kind::Real, &mut real).await;
        turn(1, LATENCY_STARTS, least, Kind::Least, &mut bare).await;
        if is_warm {
            ratios.push(real.median() / bare.median());
            times[0].join(&real);
            times[1].join(&bare);
        }
    }
    let figures = format!("{} of {}", times[0], times[1]);
    line("start, 1 client, median", median(&ratios), LATENCY_BAR, false, &figures);
}

async fn compare(
    clients: usize,
    bar: f64,
    instance: &Instance,
    least: SocketAddr,
    postmaster: Option<i32>,
) {
    let mut ratios = Vec::new();
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = [Times::new(), Times::new()];
    let mut spent = [Duration::ZERO; 2];
    let mut spent_by_server = [Duration::ZERO; 2];
    // The first turn opens connections and prepares statements, and does not count.
    turn(clients, STARTS, instance.address(), Kind::Real, &mut Times::new()).await;
    turn(clients, STARTS, least, Kind::Least, &mut Times::new()).await;
    let started_at = Instant::now();
    for _ in 0..TURNS {
        let server_before = server_processor_time(postmaster);
        let before = processor_time();
        let real = turn(clients, STARTS, instance.address(), Kind::Real, &mut times[0]).await;
        let between = processor_time();
        let server_between = server_processor_time(postmaster);
        let bare = turn(clients, STARTS, least, Kind::Least, &mut times[1]).await;
        spent[0] += between.saturating_sub(before);
        spent[1] += processor_time().saturating_sub(between);
        spent_by_server[0] += server_between.saturating_sub(server_before);
        spent_by_server[1] += server_processor_time(postmaster).saturating_sub(server_between);
        ratios.push(real / bare);
        rates[0].push(real);
        rates[1].push(bare);
        if started_at.elapsed() > LIMIT {
            break;
        }
    }
    let [real, bare] = rates.map(|rate| median(&rate));
    let figures = format!("{real:.0}/s of {bare:.0}/s; {} of {}", times[0], times[1]);
    line(&format!("starts, {clients} clients"), median(&ratios), bar, true, &figures);
    #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
    let per_start =
        |duration: Duration| duration.as_secs_f64() * 1e6 / (ratios.len() * STARTS) as f64;
    let [real, bare] = spent.map(per_start);
    println!("  processor time of service and client: {real:.0} of {bare:.0} us a start");
    let [real, bare] = spent_by_server.map(per_start);
    println!("  processor time of Postgres: {real:.0} of {bare:.0} us a start");
}

/// The handler that a turn calls.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The service.
    Real,
    /// The bare handler.
    Least,
}

/// Returns the rate of `starts` starts per second by `clients` clients, each start of a new user.
pub(crate) async fn turn(
    clients: usize,
    starts: usize,
    address: SocketAddr,
    kind: Kind,
    times: &mut Times,
) -> f64 {
    let run = Uuid::new_v4().simple().to_string();
    // Signed before the measurement begins.
    let users: Arc<Vec<(String, String)>> = Arc::new(
        (0..starts)
            .map(|n| match kind {
                Kind::Real => ("/brun-e/start".to_owned(), user(&format!("{run}-{n}"))),
                // A head of the same length, so that only the processing differs.
                Kind::Least => (format!("/least/{run}-{n}"), user(&format!("{run}-{n}"))),
            })
            .collect(),
    );
    let mut connected = Vec::new();
    for _ in 0..clients {
        connected.push(Client::of(address).await);
    }
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started_at = Instant::now();
    for mut client in connected {
        let users = Arc::clone(&users);
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            let mut times = Times::new();
            while let Some((path, token)) = users.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started_at = Instant::now();
                client.expect(Method::POST, path, token, String::new()).await;
                times.add(started_at.elapsed());
            }
            times
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let starts = starts as f64;
    starts / started_at.elapsed().as_secs_f64()
}

/// What this process has spent in its code and in the system's for it; nothing where it cannot be read.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the name, which may contain spaces; in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Returns the processor time of all processes of the server; zero on systems without `/proc`.
fn server_processor_time(postmaster: Option<i32>) -> Duration {
    let Some(postmaster) = postmaster else { return Duration::ZERO };
    let children =
        std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let nanoseconds = |process: &str| {
        let statistics = std::fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
        statistics.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(
        children.unwrap_or_default().split_whitespace().filter_map(nanoseconds).sum(),
    )
}
