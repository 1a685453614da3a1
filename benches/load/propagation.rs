//! From the commit of a change until every one of ten instances serves it, against what the same server needs
//! to tell ten bare listeners of a commit that stores a row.

use std::time::{Duration, Instant};

use brune::settings::Catalog;
use hyper::Method;
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, postgres::PgListener,
};
use tokio::time::timeout;

use crate::{
    catalog,
    client::Client,
    table::{Times, figure, line},
    world::{Instance, World, admin},
};

const INSTANCES: usize = 10;
/// Changes in a row of one side, and how often the sides take turns: 500 of each.
const BLOCK: usize = 25;
const BLOCKS: usize = 20;
const SETTINGS: usize = 10;
const BAR_MS: f64 = 25.0;
const BAR: f64 = 2.0;
/// Nothing takes so long but what never comes.
const LOST: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: &mut World) {
    let name = "propagation";
    let catalog: Catalog = catalog::generated(SETTINGS);
    let mut instances = vec![Instance::builder(world.database(name, &catalog).await).start().await];
    while instances.len() < INSTANCES {
        instances.push(Instance::builder(world.pool(name).await).start().await);
    }
    let mut fleet = Fleet::over(instances).await;
    let mut bare = Bare::on(fleet.instances[0].pool()).await;
    fleet.block(None).await;
    bare.block(None).await;
    let mut applied = Times::new();
    let mut events = Times::new();
    for _ in 0..BLOCKS {
        fleet.block(Some(&mut applied)).await;
        bare.block(Some(&mut events)).await;
    }
    let figures = format!("{applied} / {events}");
    figure("commit to applied, p99", applied.p99(), BAR_MS, "ms", &figures);
    line("  against the bare notification", applied.p99() / events.p99(), BAR, false, "at p99");
    println!("  at the median: {:.2}x", applied.median() / events.median());
    let pause = fleet.waited().await;
    println!("  PATCH ?wait=applied, until its answer: {pause}");
    fleet.end().await;
}

/// The service, ten times over one database.
struct Fleet {
    instances: Vec<Instance>,
    writer: PgConnection,
    value: i64,
}

impl Fleet {
    async fn over(instances: Vec<Instance>) -> Self {
        let options = instances[0].pool().connect_options();
        let writer = PgConnection::connect_with(&options).await.unwrap();
        Self { instances, writer, value: 0 }
    }

    async fn block(&mut self, mut times: Option<&mut Times>) {
        for _ in 0..BLOCK {
            let took = self.change().await;
            if let Some(times) = &mut times {
                times.add(took);
            }
        }
    }

    /// One change, written by hand so that the clock can start at its commit.
    async fn change(&mut self) -> Duration {
        self.value += 1;
        let mut tx = self.writer.begin().await.unwrap();
        let sql = "with new as (
              update app_global_settings set value_json = to_jsonb($2::bigint), version = version + 1, updated_by = 'bench'
              where key = $1 returning key, value_json, version, revision), trail as (
              insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
              select key, 'update', value_json, version, 'bench', 'measuring' from new)
            select revision from new";
        let revision: i64 = sqlx::query_scalar(sql)
            .bind(key())
            .bind(self.value % 200)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let started_at = Instant::now();
        tx.commit().await.unwrap();
        for it in &self.instances {
            timeout(LOST, it.settings().wait_for(revision)).await.unwrap();
        }
        started_at.elapsed()
    }

    /// Changes over HTTP that wait for every acknowledgement: from the request to the answer.
    async fn waited(&mut self) -> Times {
        let mut client = Client::of(self.instances[0].address()).await;
        let token = admin();
        let path = format!("/admin/global-settings/{}", key());
        let actual = client.expect(Method::GET, &path, &token, String::new()).await;
        let actual: Value = serde_json::from_slice(&actual).unwrap();
        let mut version = actual["version"].as_i64().unwrap();
        let mut times = Times::new();
        for _ in 0..BLOCK * BLOCKS {
            self.value += 1;
            let change = json!({"key": key(), "value": self.value % 200, "version": version});
            let body = json!({"reason": "measuring", "changes": [change]}).to_string();
            let started_at = Instant::now();
            let path = "/admin/global-settings?wait=applied&timeout_ms=4000";
            let answer = client.expect(Method::PATCH, path, &token, body).await;
            times.add(started_at.elapsed());
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            version = answer["changed"][0]["version"].as_i64().unwrap();
            let applied = &answer["applied"];
            assert_eq!(
                (&applied["instances"], &applied["laggards"]),
                (&json!(INSTANCES), &json!([]))
            );
        }
        times
    }

    async fn end(self) {
        self.writer.close().await.unwrap();
        for it in self.instances {
            it.end().await;
        }
    }
}

/// A whole number.
fn key() -> String {
    catalog::key(0)
}

/// Ten listeners, and a writer of one row whose commit notifies them: what is left of a change when nothing
/// is checked, audited or read.
struct Bare {
    writer: PgConnection,
    listeners: Vec<PgListener>,
}

impl Bare {
    async fn on(pool: &PgPool) -> Self {
        // A table of its own is the superuser's to make.
        let options = pool.connect_options().as_ref().clone().username("postgres");
        let mut writer = PgConnection::connect_with(&options).await.unwrap();
        let table = "create table bare (value bigint not null); insert into bare values (0)";
        writer.execute(AssertSqlSafe(table.to_owned())).await.unwrap();
        let mut listeners = Vec::new();
        for _ in 0..INSTANCES {
            let own = sqlx::postgres::PgPoolOptions::new().max_connections(1);
            let own = own.connect_with(pool.connect_options().as_ref().clone()).await.unwrap();
            let mut listener = PgListener::connect_with(&own).await.unwrap();
            listener.listen("bare").await.unwrap();
            listeners.push(listener);
        }
        Self { writer, listeners }
    }

    async fn block(&mut self, mut times: Option<&mut Times>) {
        for _ in 0..BLOCK {
            let mut tx = self.writer.begin().await.unwrap();
            let sql = "with new as (update bare set value = value + 1 returning value)
                select pg_notify('bare', value::text) from new";
            tx.execute(sql).await.unwrap();
            let started_at = Instant::now();
            tx.commit().await.unwrap();
            for it in &mut self.listeners {
                timeout(LOST, it.recv()).await.unwrap().unwrap();
            }
            if let Some(times) = &mut times {
                times.add(started_at.elapsed());
            }
        }
    }
}
