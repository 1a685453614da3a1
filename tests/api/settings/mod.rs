//! `/admin/global-settings`, route by route and rule by rule.

mod audit_chain;
mod change;
mod conflicts;
mod database_errors;
mod history;
mod history_pairs;
mod idempotency;
mod identity;
mod invalid_input;
mod invariants;
mod limits;
mod locked;
mod one_statement;
mod read;
mod rollback;
mod rollback_plan;
mod timeline;
mod tokens;
mod values;
mod write_cost;

use serde_json::{Value, json};
use sqlx::{Executor as _, PgPool};

use crate::support::{Call, Instance, Reply, TestApp, admin};

pub(super) const PATH: &str = "/admin/global-settings";
pub(super) const HISTORY: &str = "/admin/global-settings/history";
pub(super) const ROLLBACK: &str = "/admin/global-settings/rollback";

pub(super) const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
pub(super) const MAX_MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
pub(super) const PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";
pub(super) const MODEL: &str = "BRUNE_OPENAI_REALTIME_MODEL";
pub(super) const ALLOWLIST: &str = "BRUNE_OPENAI_REALTIME_MODEL_ALLOWLIST";

/// A PATCH of `changes` by `admin-1`, still without what a test adds to it.
pub(super) fn patch<'a>(instance: &'a Instance, changes: &Value) -> Call<'a> {
    let body = json!({"reason": "a test", "changes": changes});
    instance.patch(PATH).bearer(&admin("admin-1")).json(&body)
}

/// A rollback by `admin-1` to what `target` says.
pub(super) fn rollback<'a>(instance: &'a Instance, path: &str, mut target: Value) -> Call<'a> {
    target["reason"] = json!("back again");
    instance.post(path).bearer(&admin("admin-1")).json(&target)
}

pub(super) async fn read(instance: &Instance, path: &str) -> Reply {
    instance.get(path).bearer(&admin("admin-1")).send().await
}

/// One setting as the API shows it.
pub(super) async fn one(instance: &Instance, key: &str) -> Value {
    read(instance, &format!("{PATH}/{key}")).await.ok()
}

/// Its value and its version.
pub(super) async fn value_of(app: &TestApp, key: &str) -> (Value, i64) {
    let setting = one(&app.instance, key).await;
    (setting["value"].clone(), setting["version"].as_i64().unwrap())
}

/// The entries of the trail that fit `query`, newest first.
pub(super) async fn entries(instance: &Instance, query: &str) -> Vec<Value> {
    let page = read(instance, &format!("{HISTORY}?limit=200&{query}")).await.ok();
    page["entries"].as_array().unwrap().clone()
}

/// Everything that a write could have left in the database.
pub(super) async fn stored(app: &TestApp) -> String {
    let sql = "select json_build_object(
        'revision', (select revision from app_global_setting_head),
        'settings', (select json_agg(s order by key) from app_global_settings s),
        'audit', (select count(*) from app_global_setting_audit),
        'repeats', (select count(*) from app_idempotency_key))::text";
    sqlx::query_scalar(sql).fetch_one(&app.db.pool()).await.unwrap()
}

/// A change as an operator makes it in psql: the setting and its audit row in one transaction.
pub(super) async fn set_by_sql(pool: &PgPool, key: &str, value: &Value) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let write = "with old as (select value_json from app_global_settings where key = $1), new as (
          update app_global_settings set value_json = $2, version = version + 1, updated_by = 'psql'
          where key = $1 returning key, value_json, version)
        insert into app_global_setting_audit
          (key, action, old_value_json, new_value_json, version, changed_by, reason, changed_at)
        select key, 'update', old.value_json, new.value_json, version, 'psql', 'by hand', now()
        from new, old";
    sqlx::query(write).bind(key).bind(value).execute(&mut *tx).await?;
    tx.commit().await
}

/// Runs `sql` as it is, statement by statement, each a transaction unless it says otherwise.
pub(super) async fn psql(pool: &PgPool, sql: &'static str) -> sqlx::Result<()> {
    pool.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

/// Where the faults of a problem are, each with its code.
pub(super) fn faults(problem: &Value) -> Vec<(String, String)> {
    let text = |fault: &Value, name: &str| fault[name].as_str().unwrap_or_default().to_owned();
    let all = problem["errors"].as_array().into_iter().flatten();
    all.map(|fault| (text(fault, "pointer"), text(fault, "code"))).collect()
}

/// The same, to compare with.
pub(super) fn at<const N: usize>(faults: [(&str, &str); N]) -> Vec<(String, String)> {
    faults.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())).to_vec()
}
