//! Session starts without a rollout and during a rollout, compared with an earlier program.
//!
//! `BRUNE_BENCH_BEFORE` is the path of the earlier program. Without the variable, only the two sides of this program are
//! compared with each other.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hyper::Method;
use serde_json::{Value, json};
use sqlx::{Executor as _, PgPool};

use crate::{
    client::Client,
    program::Program,
    start::{Kind, turn},
    table::{Times, line, median},
    world::{World, admin},
};

/// The bar of a start without a rollout, compared with the earlier program.
const IDLE_BAR: f64 = 1.03;
/// The bar of a start during a rollout, compared with each other side.
const ROLLING_BAR: f64 = 1.15;
/// Concurrent clients, and the starts of one turn. A single client never shares a statement.
const CLIENTS: [(usize, usize); 3] = [(1, 300), (8, STARTS), (32, STARTS)];
/// Fewer in a debug build, which measures nothing.
const STARTS: usize = if cfg!(debug_assertions) { 400 } else { 4_000 };
/// The turns of each side.
const TURNS: usize = if cfg!(debug_assertions) { 2 } else { 9 };
/// The maximum duration of the measurement with one number of clients.
const LIMIT: Duration = Duration::from_mins(3);

pub(crate) async fn run(world: &mut World) {
    #[expect(clippy::disallowed_methods, reason = "the harness has no other configuration")]
    let before = std::env::var_os("BRUNE_BENCH_BEFORE").map(PathBuf::from);
    let now = Path::new(env!("CARGO_BIN_EXE_brune"));
    let mut sides = Vec::new();
    match &before {
        Some(program) => sides.push(Side::start(world, "before", program).await),
        None => println!("BRUNE_BENCH_BEFORE is not set: no comparison with an earlier program"),
    }
    sides.push(Side::start(world, "idle", now).await);
    let rolling = Side::start(world, "rolling", now).await;
    let number = rolling.begin_rollout().await;
    sides.push(rolling);
    for (clients, starts) in CLIENTS {
        compare(&sides, clients, starts).await;
    }
    for side in sides {
        if side.name == "rolling" {
            side.expect_rolling(number).await;
        }
        side.program.stop().await;
    }
}

/// A program with a database of its own.
struct Side {
    name: &'static str,
    program: Program,
}

impl Side {
    async fn start(world: &World, name: &'static str, program: &Path) -> Self {
        let database = format!("rollout_{name}");
        world.create_database(&database).await;
        let url = world.url(&database);
        // By the program itself, because the schemas of the programs differ.
        Program::migrate(program, &url, &world.owner_url(&database)).await;
        let program = Program::start_of(program, &url).await;
        let side = Self { name, program };
        // Plans are made for a table with sessions, as they are after the first minute of a new database, when
        // autovacuum has analyzed the table.
        turn(8, STARTS, side.address(), Kind::Real, &mut Times::new()).await;
        let owner = PgPool::connect_lazy_with(world.server.owner_options().database(&database));
        owner.execute("analyze brune_session").await.unwrap();
        owner.close().await;
        side
    }

    fn address(&self) -> SocketAddr {
        self.program.address
    }

    async fn request(&self, method: Method, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut client = Client::of(self.address()).await;
        let answer = client.expect(method, path, &admin(), body).await;
        serde_json::from_slice(&answer).unwrap()
    }

    /// Begins a rollout to half of the users that does not end during the measurement. Returns the number of the
    /// proposal.
    async fn begin_rollout(&self) -> i64 {
        let stage = json!({"share": 50, "users": 100_000, "minutes": 600});
        let proposal = json!({
            "reason": "measuring",
            "changes": [{"key": "BRUNE_PROMPT_VERSION", "value": "2", "version": 1}],
            "plan": {"rollout": {"stages": [stage]}},
        });
        let proposal = self.request(Method::POST, "/admin/proposals", &proposal).await;
        let number = proposal["number"].as_i64().unwrap();
        let path = format!("/admin/proposals/{number}/apply");
        self.request(Method::POST, &path, &json!({"edition": 1})).await;
        number
    }

    /// Asserts that the rollout still runs and has counted the users of both arms.
    async fn expect_rolling(&self, number: i64) {
        let path = format!("/admin/proposals/{number}/rollout");
        let rollout = self.request(Method::GET, &path, &Value::Null).await;
        assert_eq!(rollout["state"], "rolling", "{rollout}");
        let [candidate, control] = ["candidate", "control"].map(|arm| &rollout["users"][arm]);
        println!("  users of the rollout: {candidate} candidate users, {control} of the control");
    }
}

/// Compares the sides in turns: the median latency of one client, and the rate of several.
async fn compare(sides: &[Side], clients: usize, starts: usize) {
    let mut times: Vec<_> = sides.iter().map(|_| Times::new()).collect();
    // The duration of a start by side and turn.
    let mut durations = vec![Vec::new(); sides.len()];
    let started_at = Instant::now();
    // The first turn opens connections and prepares statements, and does not count.
    for is_warm in std::iter::once(false).chain([true; TURNS]) {
        for (at, side) in sides.iter().enumerate() {
            let mut latency = Times::new();
            let rate = turn(clients, starts, side.address(), Kind::Real, &mut latency).await;
            if is_warm {
                let duration = if clients == 1 { latency.median() } else { 1e3 / rate };
                durations[at].push(duration);
                times[at].join(&latency);
            }
        }
        if started_at.elapsed() > LIMIT {
            break;
        }
    }
    let rolling = sides.len() - 1;
    let idle = rolling - 1;
    let report = |what: &str, side: usize, base: usize, bar: f64| {
        let pairs = durations[side].iter().zip(&durations[base]);
        let ratios: Vec<_> = pairs.map(|(duration, base)| duration / base).collect();
        let figures = format!("{} of {}", times[side], times[base]);
        line(&format!("{what}, {clients} clients"), median(&ratios), bar, false, &figures);
    };
    if idle > 0 {
        report("start without a rollout, of before", idle, 0, IDLE_BAR);
        report("start during a rollout, of before", rolling, 0, ROLLING_BAR);
    }
    report("start during a rollout, of without", rolling, idle, ROLLING_BAR);
}
