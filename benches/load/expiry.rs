//! Expired sessions, marked by two instances while other sessions are started.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use brune::{
    metrics::Metrics,
    outbox::{Outbox, Subscription, Topic},
    sessions::Expiry,
    settings::{BRUN_E, Catalog},
};
use hyper::Method;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    client::Client,
    table::{Times, figure, line, median},
    world::{Instance, World, user},
};

const BAR_SECONDS: f64 = 30.0;
const BAR: f64 = 0.9;
const INSTANCES: usize = 2;
const CLIENTS: usize = 8;
/// The service's default.
const BATCH: u16 = 100;
/// How long starts are counted without the marking.
const ALONE: Duration = Duration::from_secs(5);
/// Turns of starts alone and of starts during the marking.
const TURNS: usize = 3;
/// Sessions to mark; fewer in a debug build, which measures nothing.
const DUE: i64 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

pub(crate) async fn run(world: &mut World) {
    let name = "expiry";
    let mut instances = vec![
        Instance::builder(world.database(name, &Catalog::parse(BRUN_E).unwrap()).await)
            .start()
            .await,
    ];
    while instances.len() < INSTANCES {
        instances.push(Instance::builder(world.pool(name).await).start().await);
    }
    let addresses: Vec<_> = instances.iter().map(Instance::address).collect();
    // Only the owner may analyze and truncate.
    let owner = PgPool::connect_lazy_with(world.server.owner_options().database(name));
    let mut seconds = Vec::new();
    let mut ratios = Vec::new();
    let mut times = [Times::new(), Times::new()];
    // The first turn opens connections and prepares statements, and does not count.
    starts(&addresses, &mut Times::new(), tokio::time::sleep(ALONE)).await;
    for _ in 0..TURNS {
        let before = starts(&addresses, &mut times[0], tokio::time::sleep(ALONE)).await;
        insert_expired_sessions(&owner).await;
        let started_at = Instant::now();
        let during = starts(&addresses, &mut times[1], mark(world, name)).await;
        seconds.push(started_at.elapsed().as_secs_f64());
        ratios.push(during / before);
        verify(&owner).await;
    }
    let figures = format!("{DUE} sessions, {INSTANCES} instances, batches of {BATCH}");
    figure("expiry, until all are marked", median(&seconds), BAR_SECONDS, "s", &figures);
    let figures = format!("{} before, {} during", times[0], times[1]);
    line("starts during expiry, of before", median(&ratios), BAR, true, &figures);
    for instance in instances {
        instance.end().await;
    }
}

/// Inserts active sessions that expired at different times of the last hours.
async fn insert_expired_sessions(pool: &PgPool) {
    let run = Uuid::new_v4().simple().to_string();
    let sql =
        "insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes)
        select gen_random_uuid(), $1 || '-' || n, 'pro', 'senior', now() - interval '1 day',
          now() - interval '3 hours' + n * interval '0.1 seconds', 1, 'pmpt_brune_default', '1',
          'gpt-realtime', 30
        from generate_series(1, $2) n";
    sqlx::query(sql).bind(run).bind(DUE).execute(pool).await.unwrap();
    // As in a database that has had the sessions for some time.
    sqlx::query("analyze brune_session").execute(pool).await.unwrap();
}

/// Marks all expired sessions by two workers, each with its own pool.
async fn mark(world: &World, name: &str) {
    let subscription =
        Subscription { sink: "webhook".to_owned(), topics: vec![Topic::SessionExpired] };
    let outbox = Outbox::new(vec![subscription]);
    let mut tasks = JoinSet::new();
    for _ in 0..INSTANCES {
        let pool = world.pool(name).await;
        let expiry = Expiry::new(pool.clone(), outbox.clone(), Metrics::default(), BATCH);
        tasks.spawn(async move {
            let marked = expiry.sweep().await.unwrap();
            pool.close().await;
            marked
        });
    }
    assert_eq!(
        tasks.join_all().await.iter().sum::<i64>(),
        DUE,
        "a session was marked twice, or never"
    );
}

/// Verifies that each session has exactly one message, and that no expired session is active. Deletes the messages.
async fn verify(pool: &PgPool) {
    let sql = "select (select count(distinct payload->>'session_id') from brune_outbox),
          (select count(*) from brune_outbox), (select count(*) from brune_session
            where status = 'active' and expires_at < now())";
    let (sessions, messages, remaining): (i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(pool).await.unwrap();
    assert_eq!((sessions, messages, remaining), (DUE, DUE, 0));
    sqlx::query("truncate brune_outbox").execute(pool).await.unwrap();
}

/// Starts sessions of new users at all `addresses` until `background` ends. Returns the starts per second.
pub(crate) async fn starts(
    addresses: &[SocketAddr],
    times: &mut Times,
    background: impl Future<Output = ()>,
) -> f64 {
    let run = Uuid::new_v4().simple().to_string();
    let next = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let started_at = Instant::now();
    for n in 0..CLIENTS {
        let mut client = Client::of(addresses[n % addresses.len()]).await;
        let run = run.clone();
        let next = Arc::clone(&next);
        let is_over = Arc::clone(&is_over);
        tasks.spawn(async move {
            let mut times = Times::new();
            while !is_over.load(Ordering::Relaxed) {
                let token = user(&format!("{run}-{}", next.fetch_add(1, Ordering::Relaxed)));
                let started_at = Instant::now();
                client.expect(Method::POST, "/brun-e/start", &token, String::new()).await;
                times.add(started_at.elapsed());
            }
            times
        });
    }
    background.await;
    is_over.store(true, Ordering::Relaxed);
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
    let starts = next.load(Ordering::Relaxed) as f64;
    starts / started_at.elapsed().as_secs_f64()
}
