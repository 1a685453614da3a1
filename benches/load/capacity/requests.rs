//! The processor time and the log of one request, by kind.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use brune::settings::{BRUN_E, Catalog};
use hyper::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{postgres_time, rounded};
use crate::{
    client::Client,
    program::Program,
    world::{World, admin, admin_called, user},
};

const NAME: &str = "capacity";
const SETTINGS: &str = "/admin/global-settings";
const KEY: &str = "BRUNE_COOLDOWN_MINUTES";
const FLAGS: &str = "/ofrep/v1/evaluate/flags";
const CLIENTS: usize = 8;
/// Writes of one administrator: the default limit is 60 a minute.
const WRITES_OF_ONE: usize = 50;

/// Microseconds for each request that heartbeats and the background of Postgres may take during a measurement.
pub(super) const BACKGROUND: f64 = 4.0;

/// The costs of one kind of request.
pub(super) struct Cost {
    pub(super) kind: &'static str,
    /// Microseconds of processor time.
    pub(super) service: f64,
    pub(super) postgres: f64,
    /// Bytes of the write-ahead log.
    pub(super) log: f64,
}

pub(super) struct Requests {
    pub(super) costs: Vec<Cost>,
    /// The maximum number of database connections of one instance.
    pub(super) connections: i64,
    pub(super) pool: u32,
}

impl Requests {
    pub(super) fn of(&self, kind: &str) -> &Cost {
        self.costs.iter().find(|cost| cost.kind == kind).unwrap()
    }

    pub(super) fn print(&self) {
        println!(
            "\n| request | service, µs | Postgres, µs | log, bytes | a second and core of the service | a second and core of Postgres |"
        );
        println!("|---|---|---|---|---|---|");
        for Cost { kind, service, postgres, log } in &self.costs {
            let rate = |microseconds: f64| match microseconds {
                ..BACKGROUND => "not limited".to_owned(),
                _ => rounded(1e6 / microseconds),
            };
            let bytes = if *log < 1.0 { "0".to_owned() } else { rounded(*log) };
            println!(
                "| {kind} | {} | {} | {bytes} | {} | {} |",
                rounded(*service),
                if *postgres < BACKGROUND { "0".to_owned() } else { rounded(*postgres) },
                rate(*service),
                rate(*postgres),
            );
        }
        println!(
            "\nConnections of one instance under this load: {} (pool {}, and 1 for notifications).",
            self.connections, self.pool
        );
    }
}

/// A request: method, path, token and body.
struct Call {
    method: Method,
    path: String,
    token: String,
    body: String,
}

impl Call {
    fn new(method: Method, path: &str, token: String) -> Self {
        Self { method, path: path.to_owned(), token, body: String::new() }
    }
}

pub(super) async fn measure(world: &mut World) -> Requests {
    world.database(NAME, &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    let program = Program::start_without_provider(&world.url(NAME)).await;
    let owner = PgPool::connect_lazy_with(world.server.owner_options().database(NAME));
    let mut bench = Bench { world, program, owner, costs: Vec::new() };
    bench.reads().await;
    bench.sessions().await;
    bench.change().await;
    let connections = bench.connections().await;
    bench.program.stop().await;
    bench.owner.close().await;
    Requests { costs: bench.costs, connections, pool: crate::world::POOL }
}

struct Bench<'a> {
    world: &'a World,
    program: Program,
    owner: PgPool,
    costs: Vec<Cost>,
}

impl Bench<'_> {
    async fn reads(&mut self) {
        let flags =
            Client::of(self.program.address).await.flags(FLAGS, &user("reader"), None).await;
        let tag = flags.1.unwrap();
        let post = |path: String| move |_| Call::new(Method::POST, &path, user("reader"));
        let get = |path: &'static str| move |_| Call::new(Method::GET, path, admin());
        self.cost("all flags, nine settings", 40_000, post(FLAGS.to_owned())).await;
        self.unchanged_flags(tag, 40_000).await;
        self.cost("one flag", 40_000, post(format!("{FLAGS}/{KEY}"))).await;
        self.cost("list of nine settings", 8_000, get(SETTINGS)).await;
        self.cost("one setting", 8_000, get("/admin/global-settings/BRUNE_COOLDOWN_MINUTES")).await;
        self.cost("page of the history", 8_000, get("/admin/global-settings/history")).await;
        self.cost("metrics", 2_000, get("/metrics")).await;
    }

    async fn sessions(&mut self) {
        let run = Uuid::new_v4().simple().to_string();
        let start =
            move |n: usize| Call::new(Method::POST, "/brun-e/start", user(&format!("{run}-{n}")));
        self.cost("session start", 12_000, start).await;
        let sql = "select id, user_id from brune_session order by id limit 4000";
        let sessions: Vec<(Uuid, String)> =
            sqlx::query_as(sql).fetch_all(&self.owner).await.unwrap();
        let ids = sessions.clone();
        let read = move |n: usize| {
            let (id, user_id) = &ids[n % ids.len()];
            Call::new(Method::GET, &format!("/brun-e/sessions/{id}"), user(user_id))
        };
        self.cost("one session", 8_000, read).await;
        let end = move |n: usize| {
            let (id, user_id) = &sessions[n];
            Call::new(Method::POST, &format!("/brun-e/sessions/{id}/end"), user(user_id))
        };
        self.cost("session end", 3_500, end).await;
    }

    /// Measures changes of one key, one after the other; each includes that the instance applies the change.
    async fn change(&mut self) {
        const CHANGES: usize = 2_000;
        let mut client = Client::of(self.program.address).await;
        let mut version = 1;
        let mut before = self.state().await;
        for n in 0..CHANGES + 200 {
            if n == 200 {
                before = self.state().await;
            }
            let change = json!({"key": KEY, "value": version % 200, "version": version});
            let body = json!({"reason": "measuring", "changes": [change]}).to_string();
            let token = admin_called(&format!("writer-{}", n / WRITES_OF_ONE));
            let answer = client.expect(Method::PATCH, SETTINGS, &token, body).await;
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            version = answer["changed"][0]["version"].as_i64().unwrap();
        }
        let after = self.state().await;
        self.costs.push(before.cost(&after, "change of one setting", CHANGES));
    }

    /// Measures `requests` calls by several clients.
    async fn cost(&mut self, kind: &'static str, requests: usize, call: impl Fn(usize) -> Call) {
        // The first tenth opens connections and prepares statements, and does not count.
        let warm_up = requests / 10;
        let calls: Vec<Call> = (0..requests).map(call).collect();
        let calls = Arc::new(calls);
        self.send(&calls, 0..warm_up).await;
        let before = self.state().await;
        self.send(&calls, warm_up..requests).await;
        let after = self.state().await;
        self.costs.push(before.cost(&after, kind, requests - warm_up));
    }

    async fn send(&self, calls: &Arc<Vec<Call>>, range: std::ops::Range<usize>) {
        let next = Arc::new(AtomicUsize::new(range.start));
        let mut tasks = JoinSet::new();
        for _ in 0..CLIENTS {
            let mut client = Client::of(self.program.address).await;
            let calls = Arc::clone(calls);
            let next = Arc::clone(&next);
            tasks.spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= range.end {
                        return;
                    }
                    let Call { method, path, token, body } = &calls[index];
                    client.expect(method.clone(), path, token, body.clone()).await;
                }
            });
        }
        tasks.join_all().await;
    }

    /// Measures requests for all flags by clients that have the current page.
    async fn unchanged_flags(&mut self, tag: hyper::header::HeaderValue, requests: usize) {
        let token = user("reader");
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(Client::of(self.program.address).await);
        }
        let before = self.state().await;
        let mut tasks = JoinSet::new();
        for mut client in clients {
            let token = token.clone();
            let tag = tag.clone();
            tasks.spawn(async move {
                for _ in 0..requests / CLIENTS {
                    let (status, ..) = client.flags(FLAGS, &token, Some(&tag)).await;
                    assert_eq!(status, 304);
                }
            });
        }
        tasks.join_all().await;
        let after = self.state().await;
        self.costs.push(before.cost(&after, "all flags, unchanged (304)", requests));
    }

    async fn state(&self) -> State {
        let sql = "select (pg_current_wal_insert_lsn() - '0/0')::float8";
        let log = sqlx::query_scalar(sql).fetch_one(&self.owner).await.unwrap();
        State {
            service: self.program.processor_time().unwrap(),
            postgres: postgres_time(self.world),
            log,
        }
    }

    /// Returns the number of connections of the instance. Read as a superuser: other roles do not see the owners of
    /// connections.
    async fn connections(&self) -> i64 {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and application_name <> 'bench'
              and backend_type = 'client backend'";
        let options = self.world.server.admin_options().database(NAME).application_name("bench");
        let mut connection = options.connect().await.unwrap();
        let all: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        // The pool of this program is counted as well.
        all - i64::from(self.owner.size())
    }
}

/// Totals at a point in time.
struct State {
    service: Duration,
    postgres: Duration,
    log: f64,
}

impl State {
    fn cost(&self, after: &Self, kind: &'static str, requests: usize) -> Cost {
        #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
        let requests = requests as f64;
        let each = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / requests
        };
        Cost {
            kind,
            service: each(self.service, after.service),
            postgres: each(self.postgres, after.postgres),
            log: (after.log - self.log) / requests,
        }
    }
}
