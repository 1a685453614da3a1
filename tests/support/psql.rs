//! What somebody with `psql` may do: changes behind the service's back, with their audit rows.

use sqlx::{AssertSqlSafe, Executor as _, PgExecutor, PgPool};

/// Sets `key` to the JSON `value`, whatever the catalog says of it.
pub(crate) async fn set(database: impl PgExecutor<'_>, key: &str, value: &str) {
    let sql = "with new as (
          update app_global_settings set value_json = $2::text::jsonb, version = version + 1, updated_by = 'dba'
          where key = $1 returning key, value_json, version)
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
        select key, 'update', value_json, version, 'dba', 'by hand' from new";
    let outcome = sqlx::query(sql).bind(key).bind(value).execute(database).await.unwrap();
    assert_eq!(outcome.rows_affected(), 1, "{key} is not there");
}

/// A row of a secret as a release before the boundary wrote it: with its history, of two versions.
pub(crate) async fn leave_secret(pool: &PgPool, key: &str, value: &str) {
    let first = format!("{value}-old");
    run(
        pool,
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
    set(pool, key, &serde_json::json!(value).to_string()).await;
}

/// Takes `key` out.
pub(crate) async fn delete(pool: &PgPool, key: &str) {
    let sql =
        "with gone as (delete from app_global_settings where key = $1 returning key, value_json)
        insert into app_global_setting_audit (key, action, old_value_json, changed_by, reason)
        select key, 'update', value_json, 'dba', 'by hand' from gone";
    let outcome = sqlx::query(sql).bind(key).execute(pool).await.unwrap();
    assert_eq!(outcome.rows_affected(), 1, "{key} is not there");
}

/// Runs `sql` as it is.
pub(crate) async fn run(pool: &PgPool, sql: impl Into<String>) {
    pool.execute(AssertSqlSafe(sql.into())).await.unwrap();
}

/// The number that `sql` asks for.
pub(crate) async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
}

/// Ends every session on the database that `which` (a condition on `pg_stat_activity`) selects; says how
/// many there were.
pub(crate) async fn end_sessions(by: impl PgExecutor<'_>, which: &str) -> i64 {
    let sql = format!(
        "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and ({which})"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(by).await.unwrap()
}
