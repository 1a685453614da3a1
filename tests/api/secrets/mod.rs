//! `/admin/secrets`: presence and source, never a value; and what an older release left behind.

mod cleanup;
mod environment;
mod status;

use brune::config::Environment;
use serde_json::Value;
use sqlx::PgPool;

use crate::support::{Instance, Reply, TestDb, admin, psql};

/// What nobody may find again, anywhere.
const MARKER: &str = "residue-of-a-secret-7d41";

/// An instance of a seeded database that is started with `variables`.
async fn started(db: &TestDb, variables: &[(&str, &str)]) -> Instance {
    Instance::builder(db.pool())
        .environment(&Environment::from_pairs(variables.iter().copied()))
        .without_listener()
        .start()
        .await
}

/// A database that is seeded, in which something is left of `keys`.
async fn seeded(keys: &[&str]) -> TestDb {
    let app = crate::support::TestApp::new().await;
    for key in keys {
        psql::leave_secret(&app.db.pool(), key, &format!("{MARKER}-{key}")).await;
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
    let actual: bool = sqlx::query_scalar(
        "select exists (select from app_global_settings t where t::text like '%' || $1 || '%')
           or exists (select from app_global_setting_audit t where t::text like '%' || $1 || '%')
           or exists (select from app_idempotency_key t where t::text like '%' || $1 || '%')",
    )
    .bind(MARKER)
    .fetch_one(pool)
    .await
    .unwrap();
    actual
}
