//! `/admin/secrets`: presence and source, never a value; and what an older release left behind.

mod cleanup;
mod environment;
mod status;

use brune::config::Environment;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::support::{Instance, Reply, TestDb, admin, by_hand};

/// What nobody may find again, anywhere.
const MARKER: &str = "residue-of-a-secret-7d41";

/// A row of a secret as a release before the boundary wrote it: with its history, of two versions.
async fn leave(db: &TestDb, key: &str, value: &str) {
    let first = format!("{value}-old");
    by_hand::run(
        &db.pool(),
        format!(
            "begin;
             insert into app_global_settings (key, value_type, value_json, version, updated_by, updated_at, revision)
             values ('{key}', 'string', to_jsonb('{first}'::text), 1, 'an older release', now(), 0);
             insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
             values ('{key}', 'update', to_jsonb('{first}'::text), 1, 'an older release', 'set in the console');
             commit;"
        ),
    )
    .await;
    by_hand::set(&db.pool(), key, &json!(value).to_string()).await;
}

/// An instance of a seeded database that is started with `variables`.
async fn started(db: &TestDb, variables: &[(&str, &str)]) -> Instance {
    Instance::provided(db.pool(), &Environment::of_pairs(variables.iter().copied())).await
}

/// A database that is seeded, in which something is left of `keys`.
async fn seeded(keys: &[&str]) -> TestDb {
    let app = crate::support::TestApp::new().await;
    for key in keys {
        leave(&app.db, key, &format!("{MARKER}-{key}")).await;
    }
    app.db
}

async fn get(instance: &Instance, path: &str) -> Reply {
    instance.get(path).bearer(&admin("admin-1")).send().await
}

async fn clean_up(instance: &Instance, query: &str, body: Value) -> Reply {
    let call = instance.post(&format!("/admin/secrets/cleanup{query}")).bearer(&admin("admin-1"));
    call.json(&body).send().await
}

/// Whether any row of any table holds the marker.
async fn is_stored(pool: &PgPool) -> bool {
    let found: bool = sqlx::query_scalar(
        "select exists (select from app_global_settings t where t::text like '%' || $1 || '%')
           or exists (select from app_global_setting_audit t where t::text like '%' || $1 || '%')
           or exists (select from app_idempotency_key t where t::text like '%' || $1 || '%')",
    )
    .bind(MARKER)
    .fetch_one(pool)
    .await
    .unwrap();
    found
}
