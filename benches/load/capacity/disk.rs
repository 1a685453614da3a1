//! The bytes of a row on disk, with its indexes.

use brune::settings::{BRUN_E, Catalog};
use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use super::rounded;
use crate::{rows, world::World};

const ROWS: usize = 100_000;

/// The size of one kind of row.
pub(super) struct Size {
    pub(super) kind: &'static str,
    table: f64,
    indexes: f64,
}

impl Size {
    pub(super) fn total(&self) -> f64 {
        self.table + self.indexes
    }
}

pub(super) struct Disk(Vec<Size>);

impl Disk {
    pub(super) fn of(&self, kind: &str) -> f64 {
        self.0.iter().find(|size| size.kind == kind).unwrap().total()
    }

    pub(super) fn print(&self) {
        println!("\n| row | in the table | in indexes | together |\n|---|---|---|---|");
        for size in &self.0 {
            let [table, indexes, total] = [size.table, size.indexes, size.total()].map(rounded);
            println!("| {} | {table} B | {indexes} B | {total} B |", size.kind);
        }
    }
}

/// Sessions of random users with ids in the order of time, as the service creates them, active and then expired. Each
/// leaves a dead row until the next vacuum, as in operation.
const SESSIONS: &str =
    "insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
       prompt_id, prompt_version, model, session_max_minutes)
     select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, gen_random_uuid()::text, 'pro', 'senior',
       now() - interval '1 day', now() - interval '3 hours' + n * interval '0.01 seconds', 1, 'pmpt_brune_default', '1',
       'gpt-realtime', 30
     from generate_series(1, 100000) n;
     update brune_session set status = 'expired', ended_at = expires_at";

/// A message about each session, delivered.
const MESSAGES: &str =
    "insert into brune_outbox (id, sink, topic, payload)
     select id, 'webhook', 'session.expired', brune_session_over(id, user_id, settings_revision, model, prompt_id,
       prompt_version, started_at, expires_at)
     from brune_session order by id;
     update brune_outbox set status = 'delivered', attempts = 1, settled_at = now()";

pub(super) async fn measure(world: &mut World) -> Disk {
    let name = "capacity_disk";
    world.database(name, &Catalog::parse(BRUN_E).unwrap()).await.close().await;
    rows::add(&world.server.admin_options().database(name), ROWS).await;
    let owner = PgPool::connect_lazy_with(world.server.owner_options().database(name));
    for statements in [SESSIONS, MESSAGES] {
        owner.execute(statements).await.unwrap();
    }
    let sizes = vec![
        size(&owner, "audit entry", "app_global_setting_audit").await,
        size(&owner, "session, expired", "brune_session").await,
        size(&owner, "message, delivered", "brune_outbox").await,
    ];
    owner.close().await;
    Disk(sizes)
}

async fn size(pool: &PgPool, kind: &'static str, table: &str) -> Size {
    let sql = format!(
        "select pg_table_size('{table}')::float8 / count(*), pg_indexes_size('{table}')::float8 / count(*) from {table}"
    );
    let (table, indexes) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
    Size { kind, table, indexes }
}
