//! No change is missed: not when the channel is lost as it is made, and not when a thousand are made at once.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use axum::http::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Semaphore;

use crate::support::{
    Instance, TestApp, TestDb, admin,
    proxy::Proxy,
    psql,
    wait::{let_time_pass, wait_until},
};

/// Selects the connections that listen; the second text is that of their heartbeat.
const LISTENERS: &str = "query ~ '^(UN)?LISTEN' or query = 'select 1'";

const KEY: &str = "BRUNE_PROMPT_VERSION";

/// When the connections are ended, one after the other.
const MOMENTS: [Moment; 4] = [Moment::Before, Moment::With, Moment::After, Moment::Between];

/// As seen from the commit.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// In the transaction: its notification finds nobody.
    Before,
    /// As it commits.
    With,
    /// As soon as it has.
    After,
    /// In the transaction, and then there is one more while they come back.
    Between,
}

/// A database with `size` instances, which follow it by notification alone.
async fn fleet(size: usize) -> (TestDb, Vec<Instance>) {
    let TestApp { db, instance } = TestApp::new().await;
    let mut fleet = vec![instance];
    while fleet.len() < size {
        fleet.push(Instance::builder(db.pool()).start().await);
    }
    (db, fleet)
}

/// The processes of Postgres that listening connections of `pool`'s database speak to.
async fn listeners(pool: &PgPool) -> Vec<i32> {
    let sql = format!(
        "select pid from pg_stat_activity where datname = current_database() and ({LISTENERS})"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap()
}

async fn end(pool: &PgPool, processes: &[i32]) {
    let sql = "select pg_terminate_backend(it) from unnest($1::int[]) it";
    sqlx::query(sql).bind(processes).execute(pool).await.unwrap();
}

/// Gives the version of the prompt that of `round`, and ends `processes` at `moment`.
async fn change_and_end(pool: &PgPool, round: i64, moment: Moment, processes: &[i32]) {
    let mut tx = pool.begin().await.unwrap();
    psql::set(&mut *tx, KEY, &value(round)).await;
    match moment {
        Moment::Before | Moment::Between => {
            end(pool, processes).await;
            tx.commit().await.unwrap();
        }
        Moment::With => {
            let ((), committed) = tokio::join!(end(pool, processes), tx.commit());
            committed.unwrap();
        }
        Moment::After => {
            tx.commit().await.unwrap();
            end(pool, processes).await;
        }
    }
}

/// The version of the prompt in `revision`, as JSON.
fn value(revision: i64) -> String {
    format!("\"v{revision}\"")
}

#[tokio::test]
async fn no_change_is_missed_over_two_hundred_lost_listeners() {
    let (db, fleet) = fleet(10).await;
    let pool = db.pool();
    let mut lost = BTreeSet::new();
    let mut revision = 1;
    for moment in MOMENTS.into_iter().cycle() {
        let mut processes = Vec::new();
        wait_until("all listen", async || {
            processes = listeners(&pool).await;
            processes.len() == fleet.len()
        })
        .await;
        let reason = "a channel that is lost sooner than it was waited for is reopened later";
        let_time_pass(Duration::from_millis(100), reason).await;
        revision += 1;
        change_and_end(&pool, revision, moment, &processes).await;
        if matches!(moment, Moment::Between) {
            revision += 1;
            psql::set(&pool, KEY, &value(revision)).await;
        }
        for instance in &fleet {
            instance.wait_for_revision(revision).await;
            let actual = instance.settings.get_string(KEY).unwrap();
            assert_eq!(instance.settings.revision(), revision);
            assert_eq!(format!("\"{actual}\""), value(revision));
        }
        lost.extend(processes);
        if 200 <= lost.len() {
            break;
        }
    }
    let mut actual = 0;
    let mut missed = 0;
    let mut by_timer = 0;
    for instance in &fleet {
        actual += instance.reloads("connect", "taken").await;
        by_timer += instance.reloads("poll", "taken").await;
        missed += instance.metric("brune_settings_notifications_missed_total").await;
    }
    assert_eq!(missed, actual + by_timer);
    assert!(50 < missed, "hardly anything was missed: {missed}");
    // The heartbeat of the channel reads as well, and would find them five seconds later.
    assert!(
        by_timer * 10 < actual,
        "{by_timer} found by the heartbeat, {actual} by the new channel"
    );
}

/// A loss that nobody is told of: the connection stays open, and nothing passes any more.
#[tokio::test]
async fn no_change_is_missed_when_twenty_listeners_fall_silent() {
    let TestApp { db, instance: writer } = TestApp::new().await;
    let mut fleet = Vec::new();
    for _ in 0..20 {
        let proxy = Proxy::before(&db).await;
        let instance = Instance::builder(proxy.pool(5).await).start().await;
        fleet.push((proxy, instance));
    }
    for (proxy, _) in &fleet {
        proxy.fall_silent();
    }
    psql::set(&db.pool(), KEY, &value(2)).await;
    writer.wait_for_revision(2).await;
    for (_, instance) in &fleet {
        instance.settings.listening().wait_for(|is_open| !*is_open).await.unwrap();
        assert_eq!(instance.settings.revision(), 1);
    }
    for (proxy, _) in &fleet {
        proxy.speak_again();
    }
    for (_, instance) in &fleet {
        instance.wait_for_revision(2).await;
        assert_eq!(instance.reloads("connect", "taken").await, 1);
        assert_eq!(instance.metric("brune_settings_notifications_missed_total").await, 1);
    }
}

/// As many writers as changes, each with a setting of its own, through every instance.
#[tokio::test]
async fn none_of_a_thousand_concurrent_changes_is_missed() {
    let TestApp { db, instance } = TestApp::with_catalog(&catalog(CHANGES)).await;
    let mut fleet = vec![instance];
    while fleet.len() < 5 {
        fleet.push(Instance::builder(db.pool()).start().await);
    }
    let retries = Semaphore::new(RETRIES);
    let writers = fleet.iter().cycle().zip(0..CHANGES);
    let writers = writers.map(|(instance, n)| write(instance, n, &retries));
    futures_util::future::join_all(writers).await;
    let head = i64::try_from(CHANGES).unwrap() + 1;
    for instance in &fleet {
        instance.wait_for_revision(head).await;
        let snapshot = instance.settings.snapshot();
        assert_eq!(snapshot.revision, head);
        for n in 0..CHANGES {
            assert_eq!(snapshot.get_string(&key(n)).unwrap(), format!("new {n}"));
        }
    }
    // Notifications arrive in order: when this one has, so have all before it.
    fleet[0].change(&[(&key(0), json!("the last"), 2)]).await.ok();
    for instance in &fleet {
        instance.wait_for_revision(head + 1).await;
    }
    let notifications = CHANGES as u64 * fleet.len() as u64;
    let reloads = by_notification(&fleet).await;
    assert!(reloads * 2 < notifications, "{reloads} reloads for {notifications} notifications");
}

/// How often all of `fleet` read the database because they were notified.
async fn by_notification(fleet: &[Instance]) -> u64 {
    let mut readings = 0;
    for instance in fleet {
        readings += instance.reloads("notify", "taken").await;
        readings += instance.reloads("notify", "unchanged").await;
        readings -= instance.metric("brune_settings_notifications_applied_total").await;
    }
    readings
}

/// Many enough that notifications come faster than they are answered.
const CHANGES: usize = 1_000;

fn key(n: usize) -> String {
    format!("KEY_{n:04}")
}

fn catalog(settings: usize) -> String {
    let mut catalog = "catalog = \"many\"\ndescription = \"d\"\n".to_owned();
    for n in 0..settings {
        let key = key(n);
        writeln!(
            catalog,
            "[[setting]]\nkey = \"{key}\"\ntype = \"string\"\ndefault = \"old\"\ncategory = \"c\"\n\
             applies = \"hot\"\ndescription = \"d\"\n"
        )
        .unwrap();
    }
    catalog
}

/// How many writers retry at once. All of a thousand at once would keep each other from ever meeting the deadline of
/// a request on a machine that is busy.
const RETRIES: usize = 20;

/// Changes the setting `n` through `instance`, and retries while the answer is temporary. The idempotency key makes
/// a retry safe after an answer that left the outcome open.
async fn write(instance: &Instance, n: usize, retries: &Semaphore) {
    let change = json!({"key": key(n), "value": format!("new {n}"), "version": 1});
    let body = json!({"reason": "a storm", "changes": [change]});
    let token = admin("ada");
    let mut turn = None;
    loop {
        let call = instance.patch("/admin/global-settings").bearer(&token).json(&body);
        let reply = call.header("idempotency-key", &key(n)).send().await;
        let retryable = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
        if !retryable.contains(&reply.status) && reply.body["code"] != "idempotency_in_progress" {
            reply.ok();
            return;
        }
        if turn.is_none() {
            turn = Some(retries.acquire().await.unwrap());
        }
    }
}
