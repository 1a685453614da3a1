//! The time from the commit of a change until all of ten instances serve the change, compared with the time until ten bare
//! listeners receive the notification of a commit that stores a row.

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
/// Changes in a row of one side, and turns of each side: 500 changes of each.
const BLOCK: usize = 25;
const BLOCKS: usize = 20;
const SETTINGS: usize = 10;
const BAR_MS: f64 = 25.0;
const BAR: f64 = 2.0;
/// The time after which a notification or a change counts as lost.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: &mut World) {
    let name = "propagation";
    let catalog: Catalog = catalog::generated(SETTINGS);
    let mut instances = vec![Instance::builder(world.database(name, &catalog).await).start().await];
    while instances.len() < INSTANCES {
        instances.push(Instance::builder(world.pool(name).await).start().await);
    }
    let mut fleet = Fleet::new(instances).await;
    let mut bare = Bare::new(fleet.instances[0].pool()).await;
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
    let latency = fleet.change_and_wait().await;
    println!("  PATCH ?wait=applied, until its answer: {latency}");
    fleet.end().await;
}

/// The instances of one database, and a writer.
struct Fleet {
    instances: Vec<Instance>,
    writer: PgConnection,
    value: i64,
}

impl Fleet {
    async fn new(instances: Vec<Instance>) -> Self {
        let options = instances[0].pool().connect_options();
        let writer = PgConnection::connect_with(&options).await.unwrap();
        Self { instances, writer, value: 0 }
    }

    /// Makes [`BLOCK`] changes, and adds their durations to `times`.
    async fn block(&mut self, mut times: Option<&mut Times>) {
        for _ in 0..BLOCK {
            let duration = self.change().await;
            if let Some(times) = &mut times {
                times.add(duration);
            }
        }
    }

    /// Makes one change by SQL, so that the measurement can begin at the commit. Returns the time until all instances serve
    /// the change.
    async fn change(&mut self) -> Duration {
        self.value += 1;
        let mut tx = self.writer.begin().await.unwrap();
        let sql = "with updated as (
              update app_global_settings set value_json = to_jsonb($2::bigint), version = version + 1, updated_by = 'bench'
              where key = $1 returning key, value_json, version, revision), entries as (
              insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
              select key, 'update', value_json, version, 'bench', 'measuring' from updated)
            select revision from updated";
        let revision: i64 = sqlx::query_scalar(sql)
            .bind(key())
            .bind(self.value % 200)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        let started_at = Instant::now();
        tx.commit().await.unwrap();
        for instance in &self.instances {
            timeout(TIMEOUT, instance.settings().wait_for(revision)).await.unwrap();
        }
        started_at.elapsed()
    }

    /// Sends changes over HTTP that wait for every acknowledgement. Returns the times from the request to the response.
    async fn change_and_wait(&mut self) -> Times {
        let mut client = Client::of(self.instances[0].address()).await;
        let token = admin();
        let path = format!("/admin/global-settings/{}", key());
        let setting = client.expect(Method::GET, &path, &token, String::new()).await;
        let setting: Value = serde_json::from_slice(&setting).unwrap();
        let mut version = setting["version"].as_i64().unwrap();
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
        for instance in self.instances {
            instance.end().await;
        }
    }
}

/// The key of an integer setting.
fn key() -> String {
    catalog::key(0)
}

/// Ten listeners, and a writer of one row whose commit notifies the listeners: the minimum of a change, without checks and
/// audit.
struct Bare {
    writer: PgConnection,
    listeners: Vec<PgListener>,
}

impl Bare {
    async fn new(pool: &PgPool) -> Self {
        // Only a superuser may create the table.
        let options = pool.connect_options().as_ref().clone().username("postgres");
        let mut writer = PgConnection::connect_with(&options).await.unwrap();
        let table = "create table bare (value bigint not null); insert into bare values (0)";
        writer.execute(AssertSqlSafe(table.to_owned())).await.unwrap();
        let mut listeners = Vec::new();
        for _ in 0..INSTANCES {
            let pool_options = sqlx::postgres::PgPoolOptions::new().max_connections(1);
            let listener_pool =
                pool_options.connect_with(pool.connect_options().as_ref().clone()).await.unwrap();
            let mut listener = PgListener::connect_with(&listener_pool).await.unwrap();
            listener.listen("bare").await.unwrap();
            listeners.push(listener);
        }
        Self { writer, listeners }
    }

    async fn block(&mut self, mut times: Option<&mut Times>) {
        for _ in 0..BLOCK {
            let mut tx = self.writer.begin().await.unwrap();
            let sql = "with updated as (update bare set value = value + 1 returning value)
                select pg_notify('bare', value::text) from updated";
            tx.execute(sql).await.unwrap();
            let started_at = Instant::now();
            tx.commit().await.unwrap();
            for listener in &mut self.listeners {
                timeout(TIMEOUT, listener.recv()).await.unwrap().unwrap();
            }
            if let Some(times) = &mut times {
                times.add(started_at.elapsed());
            }
        }
    }
}
