//! Concurrent starts that share a statement: each has the outcome that the start would have alone.

use std::sync::Arc;

use brune::database::Pool;
use serde_json::json;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::task::JoinSet;

use super::{end, find, id};
use crate::support::{
    Instance, Reply, TestApp,
    proxy::Proxy,
    psql,
    services::Services,
    user,
    wait::{no_hang, wait_until},
};

/// Statements that an instance has under way before all starts wait; see `sessions/start/queue.rs`.
pub(super) const STATEMENTS: usize = 2;

/// A lock on the sessions, under which statements that insert wait.
pub(super) struct Barrier(Transaction<'static, Postgres>);

impl Barrier {
    pub(super) async fn new(pool: &PgPool) -> Self {
        let mut transaction = pool.begin().await.unwrap();
        let lock = sqlx::query("lock table brune_session in exclusive mode");
        lock.execute(&mut *transaction).await.unwrap();
        Self(transaction)
    }

    /// Lets the waiting statements pass.
    pub(super) async fn open(self) {
        self.0.commit().await.unwrap();
    }
}

/// Waits until `statements` inserts wait for a lock.
pub(super) async fn wait_for_blocked(pool: &PgPool, statements: usize) {
    let sql = "select count(*) from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and query like '%insert into brune_session %'";
    wait_until("the inserts wait for the lock", async || {
        usize::try_from(psql::count(pool, sql).await).unwrap() == statements
    })
    .await;
}

/// Sends a start, optionally with an idempotency key.
pub(super) fn spawn(
    starts: &mut JoinSet<(String, Reply)>,
    instance: &Arc<Instance>,
    name: &str,
    key: Option<&str>,
) {
    let instance = Arc::clone(instance);
    let name = name.to_owned();
    let key = key.map(str::to_owned);
    starts.spawn(async move {
        let call = instance.post("/brun-e/start").bearer(&user(&name));
        let call = key.iter().fold(call, |call, key| call.header("idempotency-key", key));
        let reply = call.send().await;
        (name, reply)
    });
}

/// Occupies the statements of `instance`, so that later starts wait and share the next statement.
async fn occupy(app: &TestApp, instance: &Arc<Instance>, starts: &mut JoinSet<(String, Reply)>) {
    for n in 0..STATEMENTS {
        spawn(starts, instance, &format!("first-{n}"), None);
    }
    wait_for_blocked(&app.db.admin(), STATEMENTS).await;
}

/// Waits until every other start has reached the queue.
pub(super) async fn settle() {
    // The runtime has one thread, so each start runs up to its first wait.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(super) async fn replies(starts: JoinSet<(String, Reply)>) -> Vec<(String, Reply)> {
    let mut replies = no_hang("all starts are answered", starts.join_all()).await;
    replies.sort_by(|one, other| one.0.cmp(&other.0));
    replies
}

/// Takes the reply to `name`.
fn take(replies: &mut Vec<(String, Reply)>, name: &str) -> Reply {
    let position = replies.iter().position(|reply| reply.0 == name).unwrap();
    replies.swap_remove(position).1
}

/// The replies to `name`, by status.
pub(super) fn of<'a>(replies: &'a [(String, Reply)], name: &str) -> Vec<&'a Reply> {
    let mut replies: Vec<_> =
        replies.iter().filter(|reply| reply.0 == name).map(|reply| &reply.1).collect();
    replies.sort_by_key(|reply| reply.status);
    replies
}

pub(super) async fn statements(instance: &Instance) -> u64 {
    instance.metric("brune_session_start_group_size_count").await
}

pub(super) async fn sessions(app: &TestApp) -> i64 {
    psql::count(&app.db.pool(), "select count(*) from brune_session").await
}

pub(super) async fn instance(app: &TestApp) -> Arc<Instance> {
    let services = Services { is_patient: true, ..Services::default() };
    instance_with(app.db.own_pool().await, services).await
}

async fn instance_with(pool: Pool, services: Services) -> Arc<Instance> {
    Arc::new(Instance::builder(pool).services(services).without_listener().start().await)
}

#[tokio::test]
async fn waiting_starts_share_one_statement() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    for n in 0..30 {
        spawn(&mut starts, &instance, &format!("user-{n:02}"), Some("k-1"));
    }
    settle().await;
    barrier.open().await;
    for (name, reply) in replies(starts).await {
        let session = reply.ok();
        assert_eq!((&session["user_id"], &session["status"]), (&json!(name), &json!("active")));
        assert_eq!(find(&app.instance, &session, &user(&name)).await.ok(), session);
    }
    assert_eq!(sessions(&app).await, 32);
    assert_eq!(statements(&instance).await, 3);
}

#[tokio::test]
async fn waiting_starts_of_one_user_start_one_session() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    for name in ["ana", "ben", "ana", "cat", "ana"] {
        spawn(&mut starts, &instance, name, None);
    }
    for name in ["dan", "eva", "dan"] {
        spawn(&mut starts, &instance, name, Some("k-1"));
    }
    settle().await;
    barrier.open().await;
    let mut replies = replies(starts).await;
    let status = |name| of(&replies, name).iter().map(|reply| reply.status.as_u16()).collect();
    let statuses: Vec<Vec<u16>> = ["ana", "ben", "cat", "dan", "eva"].map(status).into();
    assert_eq!(statuses, [vec![201, 409, 409], vec![201], vec![201], vec![201, 201], vec![201]]);
    let repeats = of(&replies, "dan");
    let replayed = repeats.iter().filter(|reply| reply.header("idempotent-replayed") == "true");
    assert_eq!(replayed.count(), 1);
    assert_eq!(take(&mut replies, "dan").ok(), take(&mut replies, "dan").ok());
    assert_eq!(sessions(&app).await, 7);
}

#[tokio::test]
async fn a_refused_start_does_not_affect_the_others() {
    let app = TestApp::new().await;
    let per_minute = 2.try_into().unwrap();
    let services = Services { per_minute, is_patient: true, ..Services::default() };
    let instance = instance_with(app.db.own_pool().await, services).await;
    // One user for each obstacle: cooldown, running session, rate limit, reused idempotency key.
    let session = app.instance.start_session(&user("cool")).await.ok();
    end(&app.instance, &session, &user("cool")).await.ok();
    let active = app.instance.start_session(&user("busy")).await.ok();
    psql::run(
        &app.db.admin(),
        "insert into brune_start_attempt values ('fast', array[now(), now()])",
    )
    .await;
    let insert = "insert into brune_session (id, user_id, status, started_at, expires_at, ended_at,
          settings_revision, prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest)
        select gen_random_uuid(), 'reused', 'ended', t, t + interval '1 hour', t, 1, 'p', '1', 'm', 30, 'k-1', '\\x00'
        from (select now() - interval '3 days') past (t)";
    psql::run(&app.db.admin(), insert).await;

    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    for name in ["ana", "busy", "cool", "fast", "reused", "zoe"] {
        spawn(&mut starts, &instance, name, Some("k-1"));
    }
    settle().await;
    barrier.open().await;
    let mut replies = replies(starts).await;
    let mut reply = |name| take(&mut replies, name);
    assert_eq!(reply("ana").ok()["user_id"], "ana");
    assert_eq!(reply("zoe").ok()["user_id"], "zoe");
    let problem = reply("busy").problem(409, "session_active");
    assert_eq!(problem["session_id"], id(&active));
    let problem = reply("cool").problem(403, "not_eligible");
    assert_eq!(problem["reasons"][0]["code"], "cooldown");
    reply("fast").problem(429, "rate_limited");
    reply("reused").problem(422, "idempotency_key_reused");
    assert_eq!(statements(&instance).await, 3);
}

#[tokio::test]
async fn a_group_with_outdated_settings_is_repeated_with_the_new() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    for n in 0..10 {
        spawn(&mut starts, &instance, &format!("user-{n}"), None);
    }
    settle().await;
    app.instance.change(&[("BRUNE_PROMPT_VERSION", json!("2"), 1)]).await.ok();
    barrier.open().await;
    for (name, reply) in replies(starts).await {
        let session = reply.ok();
        assert_eq!(session["config"]["revision"], 2, "{name}");
        assert_eq!(session["config"]["prompt_version"], "2", "{name}");
    }
    assert_eq!(sessions(&app).await, 12);
    let attempts = "select count(*) from brune_start_attempt where cardinality(tried_at) <> 1";
    assert_eq!(psql::count(&app.db.admin(), attempts).await, 0);
}

/// Rounds of starts before a blocked group.
const WARM_UP: usize = 4;

/// Starts under which a group of ten is under way, blocked by a second barrier.
async fn with_blocked_group(
    app: &TestApp,
    instance: &Arc<Instance>,
    starts: &mut JoinSet<(String, Reply)>,
) -> Barrier {
    // A statement that is not prepared would wait twice: when prepared, and again when executed. Each round has two
    // single starts and a group, which uses either connection: after the rounds, both connections know both statements.
    for round in 0..WARM_UP {
        let mut warm_starts = JoinSet::new();
        let warm = Barrier::new(&app.db.admin()).await;
        for n in 0..STATEMENTS {
            spawn(&mut warm_starts, instance, &format!("warm-{round}-{n}"), None);
        }
        wait_for_blocked(&app.db.admin(), STATEMENTS).await;
        for n in 0..2 {
            spawn(&mut warm_starts, instance, &format!("group-{round}-{n}"), None);
        }
        settle().await;
        warm.open().await;
        replies(warm_starts).await;
    }

    let first = Barrier::new(&app.db.admin()).await;
    occupy(app, instance, starts).await;
    for n in 0..10 {
        spawn(starts, instance, &format!("user-{n}"), None);
    }
    settle().await;
    // Queued behind the first two statements, and before the statement of the group.
    let admin = app.db.admin();
    let mut second = JoinSet::new();
    second.spawn(async move { Barrier::new(&admin).await });
    let sql = "select count(*) from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and query like 'lock table%'";
    wait_until("the second barrier waits", async || psql::count(&app.db.admin(), sql).await == 1)
        .await;
    first.open().await;
    let second = second.join_next().await.unwrap().unwrap();
    wait_for_blocked(&app.db.admin(), 1).await;
    second
}

#[tokio::test]
async fn a_group_whose_answer_is_lost_finds_its_sessions() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.db).await;
    let pool = proxy.pool(10).await;
    let services = Services { is_patient: true, ..Services::default() };
    let instance = instance_with(pool, services).await;
    let mut starts = JoinSet::new();
    let barrier = with_blocked_group(&app, &instance, &mut starts).await;
    proxy.lose_an_answer();
    barrier.open().await;
    for (name, reply) in replies(starts).await {
        assert_eq!(reply.header("idempotent-replayed"), "", "{name}");
        let session = reply.ok();
        assert_eq!(find(&app.instance, &session, &user(&name)).await.ok(), session);
    }
    assert!(!proxy.is_to_lose(), "nothing was lost");
    assert_eq!(sessions(&app).await, i64::try_from(4 * WARM_UP + 12).unwrap());
    // Each start was one attempt, although each asked twice.
    assert_eq!(psql::count(&app.db.pool(), "select count(*) from brune_start_attempt").await, 0);
}

#[tokio::test]
async fn a_group_whose_session_is_ended_is_repeated_start_by_start() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let barrier = with_blocked_group(&app, &instance, &mut starts).await;
    let blocked = "wait_event_type = 'Lock' and query like '%insert into brune_session %'";
    assert_eq!(psql::end_sessions(&app.db.admin(), blocked).await, 1);
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        reply.ok();
    }
    assert_eq!(sessions(&app).await, i64::try_from(4 * WARM_UP + 12).unwrap());
    // Three in each round, two single starts and the group, then each start of the group alone.
    assert_eq!(statements(&instance).await, u64::try_from(3 * WARM_UP + 3 + 10).unwrap());
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_no_other_start() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let mut gone = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    spawn(&mut starts, &instance, "ana", None);
    spawn(&mut gone, &instance, "waiting", None);
    spawn(&mut starts, &instance, "zoe", None);
    settle().await;
    // Before its statement is sent: the start leaves the queue.
    gone.shutdown().await;
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        reply.ok();
    }
    let sql = "select count(*) from brune_session where user_id = 'waiting'";
    assert_eq!(psql::count(&app.db.pool(), sql).await, 0);

    // A statement under way, of a client that is alone: the others do not wait for the client.
    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    for n in 0..STATEMENTS {
        spawn(&mut gone, &instance, &format!("gone-{n}"), None);
    }
    wait_for_blocked(&app.db.admin(), STATEMENTS).await;
    spawn(&mut starts, &instance, "ben", None);
    spawn(&mut starts, &instance, "cat", None);
    settle().await;
    gone.shutdown().await;
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        reply.ok();
    }
}

#[tokio::test]
async fn a_group_of_two_step_starts_begins_as_starting() {
    let app = TestApp::new().await;
    let services = Services {
        sinks: vec![brune::outbox::Subscription {
            sink: "webhook".to_owned(),
            topics: vec![brune::outbox::Topic::SessionStarted],
        }],
        is_patient: true,
        ..Services::default()
    };
    let instance = instance_with(app.db.own_pool().await, services).await;
    let mut starts = JoinSet::new();
    let barrier = Barrier::new(&app.db.admin()).await;
    occupy(&app, &instance, &mut starts).await;
    for n in 0..10 {
        spawn(&mut starts, &instance, &format!("user-{n}"), None);
    }
    settle().await;
    barrier.open().await;
    for (_, reply) in replies(starts).await {
        assert_eq!(reply.ok()["status"], "active");
    }
    let sql = "select count(*) from brune_session where status = 'active'
        and starting_until - attempted_at between interval '29 s' and interval '31 s'";
    assert_eq!(psql::count(&app.db.pool(), sql).await, 12);
    assert_eq!(psql::count(&app.db.pool(), "select count(*) from brune_outbox").await, 12);
}
