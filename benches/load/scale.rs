//! Requests whose duration must not depend on the amount of data: 10 compared with 10,000 settings, and none compared
//! with a million audit entries or sessions.

use std::time::{Duration, Instant};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use uuid::Uuid;

use crate::{
    catalog,
    client::Client,
    rows,
    table::{Times, line},
    world::{Instance, World, admin, user},
};

const BAR: f64 = 2.0;
/// Requests of one side after each other, and how often the sides take turns.
const BLOCK: usize = 25;
const BLOCKS: usize = 20;
const MANY: usize = 1_000_000;
const KEY: &str = "BRUNE_COOLDOWN_MINUTES";
const SETTINGS: &str = "/admin/global-settings";

/// The amount of data of a side.
#[derive(Clone, Copy)]
struct Amount {
    settings: usize,
    entries: usize,
    sessions: usize,
}

const LITTLE: Amount = Amount { settings: 10, entries: 0, sessions: 0 };

pub(crate) async fn run(world: &World) {
    for (what, amount) in [
        ("10 / 10,000 settings", Amount { settings: 10_000, ..LITTLE }),
        ("0 / 1,000,000 audit entries", Amount { entries: MANY, ..LITTLE }),
        ("0 / 1,000,000 sessions", Amount { sessions: MANY, ..LITTLE }),
    ] {
        // Both are created before the first request: creation takes longer than a connection may be idle.
        let run = Uuid::new_v4().simple().to_string();
        let instances = [
            instance(world, &format!("little_{run}"), LITTLE).await,
            instance(world, &format!("much_{run}"), amount).await,
        ];
        let mut sides = [Side::of(&instances[0]).await, Side::of(&instances[1]).await];
        compare(&mut sides, what).await;
        for instance in instances {
            instance.end().await;
        }
    }
}

async fn instance(world: &World, name: &str, amount: Amount) -> Instance {
    let pool = world.database(name, &with_sessions(amount.settings)).await;
    let admin = world.server.admin_options().database(name);
    rows::add(&admin, amount.entries).await;
    if amount.sessions > 0 {
        let mut connection = admin.connect().await.unwrap();
        connection.execute("set synchronous_commit = off").await.unwrap();
        // Users of whom each had several sessions in the last days, all ended.
        let sql = "insert into brune_session (id, user_id, plan, level, status, started_at, expires_at, ended_at,
              settings_revision, prompt_id, prompt_version, model, session_max_minutes)
            select gen_random_uuid(), 'user-' || n % 250000, 'pro', 'senior', 'ended', at, at + interval '30 minutes',
              at + interval '10 minutes', 1, 'pmpt_brune_default', '1', 'gpt-realtime', 30
            from generate_series(1, $1) n, lateral (select now() - n * interval '1 second') time (at)";
        let count = i64::try_from(amount.sessions).unwrap();
        sqlx::query(sql).bind(count).execute(&mut connection).await.unwrap();
        connection.execute("vacuum analyze").await.unwrap();
        connection.execute("checkpoint").await.unwrap();
        connection.close().await.unwrap();
    }
    Instance::builder(pool).start().await
}

/// Returns the catalog of sessions with further generated settings, `count` in total.
fn with_sessions(count: usize) -> Catalog {
    // The catalog of sessions has nine settings.
    let generated = catalog::text(count - 9);
    let entries = &generated[generated.find("[[setting]]").unwrap()..];
    Catalog::parse(&format!("{BRUN_E}\n{entries}")).unwrap()
}

/// One of two compared instances.
struct Side {
    client: Client,
    token: String,
    version: i64,
    starts: Times,
    changes: Times,
    pages: Times,
}

impl Side {
    async fn of(instance: &Instance) -> Self {
        let mut client = Client::of(instance.address()).await;
        let token = admin();
        let path = format!("{SETTINGS}/{KEY}");
        let setting = client.expect(Method::GET, &path, &token, String::new()).await;
        let setting: Value = serde_json::from_slice(&setting).unwrap();
        let version = setting["version"].as_i64().unwrap();
        let [starts, changes, pages] = std::array::from_fn(|_| Times::new());
        Self { client, token, version, starts, changes, pages }
    }

    /// Sends [`BLOCK`] requests of each kind, and records the latencies unless this is a warm-up.
    async fn block(&mut self, is_warm_up: bool) {
        for _ in 0..BLOCK {
            let start = self.start().await;
            let change = self.change().await;
            let page = self.page().await;
            if !is_warm_up {
                self.starts.add(start);
                self.changes.add(change);
                self.pages.add(page);
            }
        }
    }

    async fn start(&mut self) -> Duration {
        let token = user(&Uuid::new_v4().to_string());
        let started_at = Instant::now();
        self.client.expect(Method::POST, "/brun-e/start", &token, String::new()).await;
        started_at.elapsed()
    }

    async fn change(&mut self) -> Duration {
        let change = json!({"key": KEY, "value": self.version % 200, "version": self.version});
        let body = json!({"reason": "measuring", "changes": [change]}).to_string();
        let started_at = Instant::now();
        let answer = self.client.expect(Method::PATCH, SETTINGS, &self.token, body).await;
        let elapsed = started_at.elapsed();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        self.version = answer["changed"][0]["version"].as_i64().unwrap();
        elapsed
    }

    /// Reads a page of the history; short, because the small side has few entries.
    async fn page(&mut self) -> Duration {
        let path = format!("{SETTINGS}/history?limit=5&key={KEY}&changed_by=admin");
        let started_at = Instant::now();
        self.client.expect(Method::GET, &path, &self.token, String::new()).await;
        started_at.elapsed()
    }
}

async fn compare(sides: &mut [Side; 2], what: &str) {
    for side in sides.iter_mut() {
        side.block(true).await;
    }
    for _ in 0..BLOCKS {
        for side in sides.iter_mut() {
            side.block(false).await;
        }
    }
    let [few, many] = sides;
    for (kind, few, many) in [
        ("start", &few.starts, &many.starts),
        ("PATCH", &few.changes, &many.changes),
        ("page of history", &few.pages, &many.pages),
    ] {
        let ratio = many.median() / few.median();
        line(&format!("{kind}, {what}"), ratio, BAR, false, &format!("{few} / {many}"));
    }
}
