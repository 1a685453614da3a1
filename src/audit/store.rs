//! SQL of the audit trail.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{
        actor::Actor,
        entry::{Entry, NewEntry},
    },
    database::{Connection, TransactionError},
};

/// Inserts entries in the caller's transaction; triggers set number, time and hash.
pub async fn append(
    conn: &mut Connection,
    actor: &Actor,
    entries: Vec<NewEntry>,
) -> Result<(), TransactionError> {
    // Arrays, so that any number of entries is a single round trip.
    let ids: Vec<Uuid> = entries.iter().map(|_| Uuid::now_v7()).collect();
    let actions: Vec<String> =
        entries.iter().map(|entry| entry.action.as_str().to_owned()).collect();
    let versions: Vec<Option<i32>> = entries.iter().map(|entry| entry.version).collect();
    let (keys, (old, new)): (Vec<_>, (Vec<_>, Vec<_>)) =
        entries.into_iter().map(|entry| (entry.key, (entry.old, entry.new))).unzip();
    sqlx::query!(
        r#"
        insert into app_global_setting_audit
          (id, key, action, old_value_json, new_value_json, version, changed_by, reason, request_id)
        select id, key, action, old, new, version, $7, $8, $9
        from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[], $6::integer[])
          as it (id, key, action, old, new, version)
        "#,
        &ids,
        &keys,
        &actions,
        &old as _,
        &new as _,
        &versions as _,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
    )
    .execute(conn)
    .await
    // Reported differently from other statements: a change without its entry must not be stored.
    .map_err(TransactionError::from_audit_insert)?;
    Ok(())
}

/// A row of the trail.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) seq: i64,
    id: Uuid,
    revision: Option<i64>,
    key: String,
    action: String,
    old_value_json: Option<Value>,
    new_value_json: Option<Value>,
    version: Option<i32>,
    changed_by: String,
    reason: String,
    request_id: String,
    changed_at: DateTime<Utc>,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            revision: row.revision,
            key: row.key,
            action: row.action,
            old_value: row.old_value_json,
            new_value: row.new_value_json,
            version: row.version,
            changed_by: row.changed_by,
            reason: row.reason,
            request_id: row.request_id,
            changed_at: row.changed_at,
        }
    }
}

/// Returns the entry `id`.
pub(super) async fn find(conn: &mut Connection, id: Uuid) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        select seq, id, revision, key, action, version, changed_by, reason, request_id, changed_at,
          case when is_visible then old_value_json end as old_value_json,
          case when is_visible then new_value_json end as new_value_json
        from app_global_setting_audit a, lateral (select not exists (
          select from app_global_setting_schema d where d.key = a.key and d.kind = 'secret'
        ) as is_visible) visibility
        where id = $1
        "#,
        id,
    )
    .fetch_optional(conn)
    .await
}

/// Returns, for each of `keys`, the entry that set its value at `revision`, by key.
pub(super) async fn origins(
    conn: &mut Connection,
    keys: &[String],
    revision: i64,
) -> sqlx::Result<Vec<Row>> {
    // Entries without a version, such as rejected writes, set no value.
    sqlx::query_as!(
        Row,
        r#"
        select a.seq, a.id, a.revision, a.key, a.action, a.version, a.changed_by, a.reason, a.request_id, a.changed_at,
          a.old_value_json, a.new_value_json
        from unnest($1::text[]) requested (key), lateral (
          select * from app_global_setting_audit newest
          where newest.key = requested.key and newest.revision <= $2 and version is not null
          order by seq desc limit 1) a
        order by a.key
        "#,
        keys,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// An entry with the inputs of its hash; values as printed by `jsonb`.
pub(super) struct Link {
    pub(super) seq: i64,
    pub(super) id: Uuid,
    pub(super) revision: Option<i64>,
    pub(super) key: String,
    pub(super) action: String,
    pub(super) old_value: Option<String>,
    pub(super) new_value: Option<String>,
    pub(super) version: Option<i32>,
    pub(super) changed_by: String,
    pub(super) reason: String,
    pub(super) request_id: String,
    pub(super) changed_at: DateTime<Utc>,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) old_value_digest: Option<Vec<u8>>,
    pub(super) new_value_digest: Option<Vec<u8>>,
    pub(super) prev_hash: Vec<u8>,
    pub(super) hash: Vec<u8>,
    /// Whether the version is absent, the first, or preceded by an entry of the previous version.
    pub(super) follows: bool,
}

impl Link {
    /// Returns the approximate number of hashed bytes.
    pub(super) fn size(&self) -> usize {
        // The fixed part: numbers, times and hashes.
        const FIXED: usize = 256;
        let values = [&self.old_value, &self.new_value].into_iter().flatten().map(String::len);
        FIXED + values.sum::<usize>()
    }
}

/// Returns up to `limit` links after `seq`, oldest first.
pub(super) async fn links(conn: &mut Connection, seq: i64, limit: i64) -> sqlx::Result<Vec<Link>> {
    // The cast avoids an overflow, because a tampered version may be the smallest integer.
    sqlx::query_as!(
        Link,
        r#"
        select seq, id, revision, key, action, old_value_json::text as old_value,
          new_value_json::text as new_value, version, changed_by, reason, request_id, changed_at, salt,
          old_value_digest, new_value_digest, prev_hash, hash,
          coalesce(version = 1 or exists (
            select from app_global_setting_audit before
            where before.key = a.key and before.version = a.version::bigint - 1 and before.seq < a.seq), true) as "follows!"
        from app_global_setting_audit a
        where seq > $1
        order by seq
        limit $2
        "#,
        seq,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// The state of the chain at an entry.
pub(super) struct Checkpoint {
    /// The hash of the entry.
    pub(super) hash: Vec<u8>,
    /// The newest revision up to the entry, or 0.
    pub(super) revision: i64,
}

/// Returns the checkpoint at the entry `seq`.
pub(super) async fn checkpoint(
    conn: &mut Connection,
    seq: i64,
) -> sqlx::Result<Option<Checkpoint>> {
    sqlx::query_as!(
        Checkpoint,
        r#"
        select hash, coalesce((
          select revision from app_global_setting_audit before
          where before.seq <= $1 and before.revision is not null
          order by before.seq desc limit 1), 0) as "revision!"
        from app_global_setting_audit
        where seq = $1
        "#,
        seq,
    )
    .fetch_optional(conn)
    .await
}

/// The revision of the head and of the trail.
pub(super) struct Head {
    /// The revision of the head.
    pub(super) revision: i64,
    /// The newest revision in the trail, or 0.
    pub(super) newest: i64,
}

/// Returns the revisions of head and trail, read in one statement.
pub(super) async fn head(conn: &mut Connection) -> sqlx::Result<Head> {
    // A single statement, because two could see different revisions.
    sqlx::query_as!(
        Head,
        r#"
        select revision, coalesce((
          select revision from app_global_setting_audit
          where revision is not null
          order by seq desc limit 1), 0) as "newest!"
        from app_global_setting_head
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Returns the keys of settings that differ from their last entry.
pub(super) async fn strays(conn: &mut Connection) -> sqlx::Result<Vec<String>> {
    // Skips from key to key through an index, because the trail may have a thousand times more entries than keys.
    sqlx::query_scalar!(
        r#"
        with recursive keys (key) as (
          select min(key) from app_global_setting_audit
          union all
          select (select min(a.key) from app_global_setting_audit a where a.key > keys.key)
          from keys where keys.key is not null)
        select coalesce(s.key, a.key) as "key!"
        from app_global_settings s
        full join (
          select last.* from keys, lateral (
            select key, new_value_json, version from app_global_setting_audit
            where key = keys.key and action not in ('refused', 'secret_cleanup', 'decision')
            order by seq desc limit 1) last
        ) a on a.key = s.key
        where (a.new_value_json, case when a.new_value_json is not null then a.version end)
          is distinct from (s.value_json, s.version)
        order by 1
        "#,
    )
    .fetch_all(conn)
    .await
}
