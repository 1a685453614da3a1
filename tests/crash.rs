//! What is killed in the middle of writing: nothing that was acknowledged is lost.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rand::RngExt as _;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use support::{
    TestApp,
    binary::{Home, Service, gone, kill},
    psql,
    receiver::{Receiver, SIGNING, status},
};

use crate::support::wait::wait_until;

const PATH: &str = "/admin/global-settings";
const WRITERS: usize = 6;
/// What a trusted service starts sessions with.
const INTERNAL_KEY: &str = "an-internal-key-under-fire";
/// How often all connections to the database are broken.
const STORM: usize = 60;
/// What writers change, in batches that overlap.
const KEYS: [&str; 4] = [
    "BRUNE_COOLDOWN_MINUTES",
    "BRUNE_MAX_SESSIONS_PER_DAY",
    "BRUNE_SESSION_MAX_MINUTES",
    "BRUNE_PROMPT_VERSION",
];

/// What was acknowledged: the value that each key has at each version.
type Acknowledged = BTreeMap<(String, i64), Value>;

/// Changes settings as long as the service answers, or until it is told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    clients: JoinSet<(Acknowledged, Vec<u16>)>,
}

impl Writers {
    fn start(service: &Arc<Service>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..WRITERS {
            clients.spawn(write(Arc::clone(service), Arc::clone(&stop), number));
        }
        Self { stop, clients }
    }

    /// What they were told, and every status they got.
    async fn stop(self) -> (Acknowledged, Vec<u16>) {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Acknowledged::new();
        let mut statuses = Vec::new();
        for (told, got) in self.clients.join_all().await {
            for (at, value) in told {
                assert!(all.insert(at, value).is_none(), "two writers were told the same version");
            }
            statuses.extend(got);
        }
        (all, statuses)
    }
}

async fn write(
    service: Arc<Service>,
    stop: Arc<AtomicBool>,
    number: usize,
) -> (Acknowledged, Vec<u16>) {
    let mut actual = Acknowledged::new();
    let mut statuses = Vec::new();
    for n in 0_usize.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        // No answer at all: the service is gone.
        let Ok(reply) = change(&service, number, n).await else { break };
        let Some((status, changed)) = reply else { continue };
        statuses.push(status);
        for entry in changed {
            let key = entry["key"].as_str().unwrap().to_owned();
            actual.insert((key, entry["version"].as_i64().unwrap()), entry["new_value"].clone());
        }
    }
    (actual, statuses)
}

/// Reads, and changes two keys of what was read; `None` when reading was refused.
async fn change(
    service: &Service,
    number: usize,
    n: usize,
) -> reqwest::Result<Option<(u16, Vec<Value>)>> {
    let read = service.call(Method::GET, PATH).send().await?;
    if read.status() != 200 {
        return Ok(Some((read.status().as_u16(), Vec::new())));
    }
    let listing: Value = read.json().await?;
    let settings = listing["settings"].as_array().unwrap();
    let edit = |key: &str| {
        let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
        let value = if key == KEYS[3] { json!(format!("{number}_{n}")) } else { json!(1 + n % 20) };
        json!({"key": key, "value": value, "version": setting["version"]})
    };
    let edits = [edit(KEYS[(number + n) % 4]), edit(KEYS[(number + n + 1) % 4])];
    let body = json!({"reason": "under fire", "changes": edits});
    let reply = service.call(Method::PATCH, PATH).json(&body).send().await?;
    let status = reply.status().as_u16();
    let body: Value = reply.json().await?;
    Ok(Some((status, body["changed"].as_array().cloned().unwrap_or_default())))
}

/// Returns the revision of the settings; `None` while the service cannot read them.
async fn revision(service: &Service) -> Option<i64> {
    let reply = service.call(Method::GET, PATH).send().await.unwrap();
    if reply.status() != 200 {
        return None;
    }
    reply.json::<Value>().await.unwrap()["revision"].as_i64()
}

/// Waits until the settings are at `expected`: then there is something that can be lost.
async fn reaches(service: &Service, expected: i64) {
    let reached = async || revision(service).await >= Some(expected);
    wait_until("the writers write", reached).await;
}

/// Holds the trail to what was acknowledged; it may know more, of changes whose answer was lost.
async fn nothing_is_lost(service: &Service, acknowledged: &Acknowledged) {
    let mut known = Acknowledged::new();
    let mut path = format!("{PATH}/history?limit=200");
    loop {
        let page = service.get(&path).await;
        for entry in page["entries"].as_array().unwrap() {
            let key = entry["key"].as_str().unwrap().to_owned();
            known.insert((key, entry["version"].as_i64().unwrap()), entry["new_value"].clone());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{PATH}/history?limit=200&cursor={cursor}");
    }
    for (at, value) in acknowledged {
        assert_eq!(known.get(at), Some(value), "{at:?}");
    }
}

/// Ends the writers, whose service is gone, and returns what they were told.
async fn after_the_end(writers: Writers) -> Acknowledged {
    let (acknowledged, statuses) = writers.stop().await;
    assert!(acknowledged.len() > 20, "only {} changes were acknowledged", acknowledged.len());
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409 | 503 | 504)), "{statuses:?}");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_service_loses_no_acknowledged_write() {
    let home = Home::new();
    let mut acknowledged = Acknowledged::new();
    for _ in 0..3 {
        let service = Arc::new(home.serve());
        nothing_is_lost(&service, &acknowledged).await;
        let writers = Writers::start(&service);
        let postgres = home.postmaster().unwrap();
        let revision = service.get(PATH).await["revision"].as_i64().unwrap();
        reaches(&service, revision + 30).await;
        service.signal(Signal::KILL);
        acknowledged.append(&mut after_the_end(writers).await);
        // Postgres does not outlive it, even so.
        gone(postgres).await;
        home.run(&["doctor"]).ok();
    }
    let service = home.serve();
    nothing_is_lost(&service, &acknowledged).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_postgres_ends_the_service_and_a_restart_recovers_everything() {
    let home = Home::new();
    let mut acknowledged = Acknowledged::new();
    for _ in 0..2 {
        let service = Arc::new(home.serve());
        nothing_is_lost(&service, &acknowledged).await;
        let writers = Writers::start(&service);
        let revision = service.get(PATH).await["revision"].as_i64().unwrap();
        reaches(&service, revision + 30).await;
        kill(home.postmaster().unwrap());
        acknowledged.append(&mut after_the_end(writers).await);
        let status = Arc::into_inner(service).unwrap().ended().await;
        assert_eq!(status.code(), Some(1), "{}", home.log());
        home.run(&["doctor"]).ok();
    }
    let service = home.serve();
    nothing_is_lost(&service, &acknowledged).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_backend_restarts_postgres_and_the_service_continues() {
    let home = Home::new();
    let service = Arc::new(home.serve());
    let writers = Writers::start(&service);
    reaches(&service, 30).await;
    let config = brune::config::Embedded {
        dir: home.data(),
        bin_dir: None,
        path: std::ffi::OsString::new(),
        account: None,
        cache_dir: None,
    };
    let options = brune::embedded_postgres::running(&config).await.unwrap().unwrap();
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let backend: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&pool).await.unwrap();
    // Its siblings cannot trust what it left in their shared memory: all are ended, and the log is replayed.
    kill(backend);
    // The backend is gone when Postgres has noticed its end. Before, the service still answers as if nothing had
    // happened, and the writes that follow would be those before the crash.
    gone(backend).await;
    let mut after_crash = None;
    let answers = async || {
        after_crash = revision(&service).await;
        after_crash.is_some()
    };
    wait_until("it answers again", answers).await;
    reaches(&service, after_crash.unwrap() + 30).await;
    let acknowledged = after_the_end(writers).await;
    nothing_is_lost(&service, &acknowledged).await;
    Arc::into_inner(service).unwrap().stop().await;
    home.run(&["doctor"]).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaking_connections_lose_no_acknowledged_write() {
    let app = TestApp::new().await;
    let home = Home::on(&app.db).with("INTERNAL_API_KEY", INTERNAL_KEY);
    let service = Arc::new(home.serve());
    let writers = Writers::start(&service);
    let stop = Arc::new(AtomicBool::new(false));
    let start = |number| start_sessions(Arc::clone(&service), Arc::clone(&stop), number);
    let starters: JoinSet<_> = (0..2).map(start).collect();
    let pool = app.db.pool();
    let newest = "select revision from app_global_setting_head";
    let mut ended = 0;
    for _ in 0..STORM {
        let revision = psql::count(&pool, newest).await;
        ended += psql::end_sessions(&pool, "application_name = 'brune'").await;
        // So that there is always something that can be lost.
        let writes = async || psql::count(&pool, newest).await >= revision + 2;
        wait_until("the writers write", writes).await;
    }
    assert!(ended >= 20, "only {ended} connections broke");
    stop.store(true, Ordering::SeqCst);
    let acknowledged = after_the_end(writers).await;
    let statuses = starters.join_all().await.concat();
    assert!(statuses.iter().all(|status| matches!(status, 201 | 503 | 504)), "{statuses:?}");
    assert!(statuses.contains(&201), "{statuses:?}");
    nothing_is_lost(&service, &acknowledged).await;
    Arc::into_inner(service).unwrap().stop().await;
    home.run(&["doctor"]).ok();
    let log = home.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Starts sessions, each for another user, while connections break; returns every status.
async fn start_sessions(service: Arc<Service>, stop: Arc<AtomicBool>, number: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let body = json!({"user_id": format!("user-{number}-{}", statuses.len()), "plan": "pro"});
        let call = service.anonymous(Method::POST, "/brun-e/start");
        let reply = call.header("x-internal-api-key", INTERNAL_KEY).json(&body).send().await;
        statuses.push(reply.unwrap().status().as_u16());
    }
    statuses
}

/// Messages whose deliverers are killed.
const MESSAGES: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_in_order_while_delivering_services_are_killed() {
    let app = TestApp::new().await;
    let failing = |_: &str| status(if rand::rng().random_ratio(1, 3) { 500 } else { 200 });
    let receiver = Receiver::answering(failing).await;
    let home = Home::on(&app.db)
        .with("ALERT_WEBHOOK_URL", &receiver.address())
        .with("ALERT_WEBHOOK_SECRET", &format!("whsec_{SIGNING}"))
        .with("ALERT_ALLOW_PRIVATE", "true")
        .with("BRUNE_OUTBOX_WORKER_LEASE_MS", "1000")
        .with("BRUNE_OUTBOX_WORKER_INTERVAL_MS", "100")
        .with("BRUNE_OUTBOX_RETRY_BASE_MS", "10")
        .with("BRUNE_OUTBOX_MAX_RETRIES", "100");
    let stored = format!(
        "insert into brune_outbox (id, sink, topic, payload)
         select gen_random_uuid(), 'webhook', 'session.started', jsonb_build_object('number', n)
         from generate_series(1, {MESSAGES}) n order by n"
    );
    psql::run(&app.db.pool(), stored).await;
    let mut services = [home.serve(), home.serve()];
    let query = "select count(*) from brune_outbox where status = 'waiting'";
    let is_delivered = async || psql::count(&app.db.pool(), query).await == 0;
    let mut kills = 0;
    let mut calls = 0;
    // Calls that failed count as well: three for two messages. So there are seven kills at least.
    while calls < MESSAGES {
        calls += rand::rng().random_range(50..200);
        let more = async || receiver.call_count() >= calls || is_delivered().await;
        wait_until("more calls of the receiver", more).await;
        let which = rand::rng().random_range(0..2_usize);
        services[which].signal(Signal::KILL);
        services[which] = home.serve();
        kills += 1;
    }
    assert!(kills > 4, "only {kills} services were killed");
    wait_until("every message is delivered", is_delivered).await;
    let mut ids = BTreeMap::new();
    let mut first = Vec::new();
    for told in receiver.taken() {
        let number = told["data"]["number"].as_u64().unwrap();
        if number_is_new(&mut ids, number, &told["id"]) {
            first.push(number);
        }
    }
    assert_eq!(first, (1..=MESSAGES as u64).collect::<Vec<_>>());
    assert!(receiver.received().iter().all(|request| request.is_signed_with(SIGNING)));
    for service in services {
        service.stop().await;
    }
    let actual_query = "select count(*) from brune_outbox_sink where lease is not null";
    assert_eq!(
        psql::count(&app.db.pool(), actual_query).await,
        0,
        "who stops gives its lease back"
    );
}

/// Whether `number` had not arrived before; if it had, it was with the same id.
fn number_is_new(ids: &mut BTreeMap<u64, Value>, number: u64, id: &Value) -> bool {
    match ids.insert(number, id.clone()) {
        None => true,
        Some(before) => {
            assert_eq!(before, *id, "{number} has two ids");
            false
        }
    }
}
