//! Sessions whose time is over, marked by two instances, while others are started.

use std::{
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
/// How long starts are counted when nothing else happens.
const ALONE: Duration = Duration::from_secs(5);
/// How often the two take turns.
const TURNS: usize = 3;
/// Sessions that are due; fewer in a build that is not optimised, which measures nothing.
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
    // To analyze and to truncate is the owner's.
    let owner = PgPool::connect_lazy_with(world.server.owner_options().database(name));
    let mut seconds = Vec::new();
    let mut ratios = Vec::new();
    let mut times = [Times::new(), Times::new()];
    // One turn that does not count: connections are made, statements prepared.
    starts(&instances, &mut Times::new(), tokio::time::sleep(ALONE)).await;
    for _ in 0..TURNS {
        let before = starts(&instances, &mut times[0], tokio::time::sleep(ALONE)).await;
        leave(&owner).await;
        let started_at = Instant::now();
        let meanwhile = starts(&instances, &mut times[1], mark(world, name)).await;
        seconds.push(started_at.elapsed().as_secs_f64());
        ratios.push(meanwhile / before);
        hold(&owner).await;
    }
    let figures = format!("{DUE} sessions, {INSTANCES} instances, batches of {BATCH}");
    figure("expiry, until none is left", median(&seconds), BAR_SECONDS, "s", &figures);
    let figures = format!("{} alone, {} meanwhile", times[0], times[1]);
    line("starts meanwhile, of those alone", median(&ratios), BAR, true, &figures);
    for it in instances {
        it.end().await;
    }
}

/// Sessions that were over at different times of the last hours.
async fn leave(pool: &PgPool) {
    let run = Uuid::new_v4().simple().to_string();
    let sql =
        "insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes)
        select gen_random_uuid(), $1 || '-' || n, 'pro', 'senior', now() - interval '1 day',
          now() - interval '3 hours' + n * interval '0.1 seconds', 1, 'pmpt_brune_default', '1',
          'gpt-realtime', 30
        from generate_series(1, $2) n";
    sqlx::query(sql).bind(run).bind(DUE).execute(pool).await.unwrap();
    // As a database is that has had them for a while.
    sqlx::query("analyze brune_session").execute(pool).await.unwrap();
}

/// Two workers, each with the connections of an instance, until both find nothing.
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
    assert_eq!(tasks.join_all().await.iter().sum::<i64>(), DUE, "one was marked twice, or never");
}

/// Each was told of once, and none is left.
async fn hold(pool: &PgPool) {
    let sql = "select (select count(distinct payload->>'session_id') from brune_outbox),
          (select count(*) from brune_outbox), (select count(*) from brune_session
            where status = 'active' and expires_at < now())";
    let (sessions, messages, remaining): (i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(pool).await.unwrap();
    assert_eq!((sessions, messages, remaining), (DUE, DUE, 0));
    sqlx::query("truncate brune_outbox").execute(pool).await.unwrap();
}

/// Starts per second, of new users at every instance, while `meanwhile` runs.
async fn starts(
    instances: &[Instance],
    times: &mut Times,
    meanwhile: impl Future<Output = ()>,
) -> f64 {
    let run = Uuid::new_v4().simple().to_string();
    let next = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let started_at = Instant::now();
    for n in 0..CLIENTS {
        let mut client = Client::of(instances[n % instances.len()].address()).await;
        let run = run.clone();
        let next = Arc::clone(&next);
        let over = Arc::clone(&over);
        tasks.spawn(async move {
            let mut times = Times::new();
            while !over.load(Ordering::Relaxed) {
                let token = user(&format!("{run}-{}", next.fetch_add(1, Ordering::Relaxed)));
                let started_at = Instant::now();
                client.expect(Method::POST, "/brun-e/start", &token, String::new()).await;
                times.add(started_at.elapsed());
            }
            times
        });
    }
    meanwhile.await;
    over.store(true, Ordering::Relaxed);
    while let Some(outcome) = tasks.join_next().await {
        times.join(&outcome.unwrap());
    }
    #[expect(clippy::cast_precision_loss, reason = "some ten thousand")]
    let starts = next.load(Ordering::Relaxed) as f64;
    starts / started_at.elapsed().as_secs_f64()
}
