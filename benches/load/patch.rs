//! A PATCH of one key: compared with one statement that writes the same rows, and with larger databases.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::{
    catalog,
    client::Client,
    pgbench,
    table::{Times, line, median},
    world::{Instance, World, admin},
};

const BAR: f64 = 2.0;
/// Changes in a row of one side, and turns of each side.
const BLOCK: usize = 25;
const BLOCKS: usize = 24;
/// The maximum duration of a comparison.
const LIMIT: Duration = Duration::from_mins(2);
/// The part of the rate of pgbench that the service must reach.
const STATEMENT_BAR: f64 = 0.5;
/// Turns of the comparison with pgbench, and the seconds of each.
const TURNS: usize = 9;
const TURN_SECONDS: u32 = 2;

pub(crate) async fn run(world: &mut World) {
    compare_with_statement(world).await;
    for (what, settings, rows) in
        [("10 / 10,000 settings", 10_000, 0), ("10 / 1,000,000 audit rows", 10, 1_000_000)]
    {
        // Both are created before the first request: creation takes longer than a connection may be idle.
        let instances = [world.instance(10, 0).await, world.instance(settings, rows).await];
        compare(what, [Side::of(&instances[0]).await, Side::of(&instances[1]).await]).await;
    }
}

/// One of two compared instances, or the instance that is compared with pgbench.
struct Side {
    instance: Instance,
    client: Client,
    token: String,
    version: i64,
    /// From the request to its response.
    latency: Times,
    /// From the last request of a block until the instance reads the change.
    applied: Times,
}

impl Side {
    async fn of(instance: &Instance) -> Self {
        let mut client = Client::of(instance.address()).await;
        let token = admin();
        let path = format!("/admin/global-settings/{}", key());
        let setting = client.expect(Method::GET, &path, &token, String::new()).await;
        let setting: Value = serde_json::from_slice(&setting).unwrap();
        let version = setting["version"].as_i64().unwrap();
        let instance = instance.clone();
        Self { instance, client, token, version, latency: Times::new(), applied: Times::new() }
    }

    /// Sends [`BLOCK`] changes one after the other, and records the durations if `is_counted`.
    async fn block(&mut self, is_counted: bool) {
        let mut revision = 0;
        let mut started_at = Instant::now();
        for _ in 0..BLOCK {
            let change =
                json!({"key": key(), "value": self.version % 200, "version": self.version});
            let body = json!({"reason": "measuring", "changes": [change]}).to_string();
            started_at = Instant::now();
            let path = "/admin/global-settings";
            let answer = self.client.expect(Method::PATCH, path, &self.token, body).await;
            if is_counted {
                self.latency.add(started_at.elapsed());
            }
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            self.version = answer["changed"][0]["version"].as_i64().unwrap();
            revision = answer["revision"].as_i64().unwrap();
        }
        self.instance.settings().wait_for(revision).await;
        if is_counted {
            self.applied.add(started_at.elapsed());
        }
    }
}

/// Compares one client with one statement that writes the same rows into another database of the server.
async fn compare_with_statement(world: &mut World) {
    const STATEMENTS: &str = "patch_statements";
    world.database(STATEMENTS, &catalog::generated(10)).await.close().await;
    let script = world.scratch("change.sql");
    let mut side = Side::of(&world.instance(10, 0).await).await;
    let mut rates = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    side.block(false).await;
    for _ in 0..TURNS {
        let started_at = Instant::now();
        let mut changes = 0_u32;
        while started_at.elapsed() < Duration::from_secs(TURN_SECONDS.into()) {
            side.block(true).await;
            changes += u32::try_from(BLOCK).unwrap();
        }
        let service = f64::from(changes) / started_at.elapsed().as_secs_f64();
        let script = (&*script, pgbench::CHANGE);
        let statement = pgbench::rate(&world.server, STATEMENTS, 1, script, TURN_SECONDS).await;
        let Some(statement) = statement else {
            println!("pgbench is not installed");
            return;
        };
        ratios.push(service / statement);
        rates[0].push(service);
        rates[1].push(statement);
    }
    let [service, statement] = rates.map(|rate| median(&rate));
    let figures = format!("{service:.0}/s of {statement:.0}/s; {}", side.latency);
    line("PATCH, 1 client, of one statement", median(&ratios), STATEMENT_BAR, true, &figures);
}

/// The key of an integer setting.
fn key() -> String {
    catalog::key(4)
}

async fn compare(what: &str, mut sides: [Side; 2]) {
    for side in &mut sides {
        side.block(false).await;
    }
    let started_at = Instant::now();
    for _ in 0..BLOCKS {
        for side in &mut sides {
            side.block(true).await;
        }
        if started_at.elapsed() > LIMIT {
            break;
        }
    }
    let [few, many] = &sides;
    let figures = format!("{} / {}", few.latency, many.latency);
    let ratio = many.latency.median() / few.latency.median();
    line(&format!("PATCH, {what}"), ratio, BAR, false, &figures);
    line("  at p99", many.latency.p99() / few.latency.p99(), BAR, false, "");
    println!("  until read: {} / {}", few.applied, many.applied);
}
