//! A long history, inserted at once: the triggers that number and chain the entries are off, so the chain does not
//! verify. Pages and changes read the same rows as after as many changes by the service.
//!
//! Filters meet every case: values that are common everywhere, that occur only at the start, and pairs of common values
//! that never occur together.

use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};

/// One of nine authors of updates; they share three quarters of the history.
pub(crate) const BUSY: &str = "admin-3";
/// The author of the first five changes only.
pub(crate) const RARE: &str = "long-gone";
/// The author of all imports, a quarter of the history: of the second half of the keys, and of three early changes of
/// the key with the number [`RARELY_IMPORTED`].
pub(crate) const IMPORTER: &str = "pipeline";
/// See [`IMPORTER`], with ten settings.
pub(crate) const RARELY_IMPORTED: usize = 4;

/// Seconds between two rows.
const INTERVAL_SECONDS: i64 = 20;

/// Adds `count` changes, one setting after the other.
pub(crate) async fn add(options: &PgConnectOptions, count: usize) {
    let mut connection = options.connect().await.unwrap();
    if count > 0 {
        let sql = "set session_replication_role = replica; set synchronous_commit = off; \
                   set work_mem = '256MB'";
        connection.execute(sql).await.unwrap();
        insert(&mut connection, i64::try_from(count).unwrap()).await;
        update_settings(&mut connection).await;
        // As in a database that has been in use for some time. An empty trail has no statistics in practice: with some,
        // Postgres would read the whole trail for each change until autovacuum has analyzed the table again.
        connection.execute("vacuum analyze").await.unwrap();
    }
    connection.execute("checkpoint").await.unwrap();
    connection.close().await.unwrap();
}

async fn insert(connection: &mut PgConnection, count: i64) {
    let before =
        "update app_global_setting_audit set changed_at = changed_at - interval '10 years'";
    connection.execute(before).await.unwrap();
    sqlx::query(
        "with keys as (
           select key, value_json, version, row_number() over (order by key) - 1 as position,
             count(*) over () as total
           from app_global_settings)
         insert into app_global_setting_audit (seq, id, revision, key, action, old_value_json,
           new_value_json, version, changed_by, reason, request_id, changed_at, salt, old_value_digest,
           new_value_digest, prev_hash, hash)
         select (select max(seq) from app_global_setting_audit) + n,
           ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1 + n, key,
           case when is_import then 'import' else 'update' end, value_json, value_json, version + 1 + (n - 1) / total,
           case when n <= 5 then $2 when is_import then $4 else 'admin-' || n % 9 end, 'benchmark',
           'request-' || lpad(n::text, 9, '0'),
           now() - ($1 - n) * make_interval(secs => $3), uuid_send(gen_random_uuid()),
           sha256(int8send(n)), sha256(int8send(n)), sha256(int8send(n)), sha256(int8send(n + 1))
         from generate_series(1, $1) n join keys on position = n % total, lateral (
           select (n / total % 2 = 0 and position >= total / 2) or n in (14, 24, 34) as is_import) kind",
    )
    .bind(count)
    .bind(RARE)
    .bind(INTERVAL_SECONDS)
    .bind(IMPORTER)
    .execute(connection)
    .await
    .unwrap();
}

/// Sets the versions and revisions of the settings and the head to the newest of the history.
async fn update_settings(connection: &mut PgConnection) {
    let settings = "update app_global_settings s set version = a.version, revision = a.revision
        from (select distinct on (key) key, version, revision from app_global_setting_audit
              order by key, version desc) a where a.key = s.key";
    connection.execute(settings).await.unwrap();
    let head = "update app_global_setting_head set (revision, changed_at)
        = (select max(revision), max(changed_at) from app_global_setting_audit)";
    connection.execute(head).await.unwrap();
}
