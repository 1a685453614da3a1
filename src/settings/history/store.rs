//! SQL of past settings, from the audit trail.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    database::Connection,
    settings::entry::{LaterChange, StoredSetting},
};

/// Reads the value of each of `keys` at the version in `versions`, without unknown versions.
pub(in crate::settings) async fn values_at_versions(
    conn: &mut Connection,
    keys: &[String],
    versions: &[i32],
) -> sqlx::Result<HashMap<String, Value>> {
    let rows = sqlx::query!(
        r#"
        select a.key, a.new_value_json as "value!"
        from unnest($1::text[], $2::integer[]) wanted (key, version)
        join app_global_setting_audit a on a.key = wanted.key and a.version = wanted.version
        where a.new_value_json is not null
        "#,
        keys,
        versions,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value)).collect())
}

/// Reads all declared settings as of `revision`, by key.
pub(in crate::settings) async fn as_of(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<StoredSetting>> {
    // An index scan for each key ends early, while `distinct on` would read the whole history.
    sqlx::query_as!(
        StoredSetting,
        r#"
        select s.key, a.new_value_json as "value?", a.version as "version?",
          a.changed_by as "updated_by?", a.changed_at as "updated_at?"
        from app_global_setting_schema s
        cross join lateral (
          select new_value_json, version, changed_by, changed_at
          from app_global_setting_audit
          where key = s.key and revision <= $1
          order by seq desc
          limit 1
        ) a
        where s.editable
        order by s.key
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// Reads the newest revision committed at or before `instant`.
pub(in crate::settings) async fn revision_at(
    conn: &mut Connection,
    instant: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    // Refused writes are in the trail without a revision, because a refusal changes no setting.
    let newest = sqlx::query_scalar!(
        r#"
        select revision from app_global_setting_audit
        where changed_at <= $1 and revision is not null
        order by changed_at desc, seq desc
        limit 1
        "#,
        instant,
    )
    .fetch_optional(conn)
    .await?;
    Ok(newest.flatten())
}

/// Reads the newest change of `key` after `version`, if any.
pub(in crate::settings) async fn since_version(
    conn: &mut Connection,
    key: &str,
    version: i32,
) -> sqlx::Result<Vec<LaterChange>> {
    sqlx::query_as!(
        LaterChange,
        r#"
        select key, version as "version!", changed_by, changed_at
        from app_global_setting_audit
        where key = $1 and version > $2
        order by version desc
        limit 1
        "#,
        key,
        version,
    )
    .fetch_all(conn)
    .await
}

/// Reads the newest change of each key after `revision`, by key.
pub(in crate::settings) async fn since_revision(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<LaterChange>> {
    sqlx::query_as!(
        LaterChange,
        r#"
        select distinct on (key) key, version as "version!", changed_by, changed_at
        from app_global_setting_audit
        where revision > $1 and version is not null
        order by key, version desc
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// Reads the keys of all declared settings changed after `revision`.
pub(in crate::settings) async fn keys_changed_since(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<String>> {
    // A stored setting has the revision of its newest change, so that the cost does not grow with the history. Only the
    // audit trail has the changes of a deleted setting.
    sqlx::query_scalar!(
        r#"
        with deleted as materialized (
          select d.key from app_global_setting_schema d
          where d.editable and not exists (select from app_global_settings s where s.key = d.key)
        )
        select key as "key!" from app_global_settings where revision > $1
        union all
        select key from deleted
        where $1 < (select a.revision from app_global_setting_audit a
          where a.key = deleted.key and a.version is not null order by a.version desc limit 1)
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// A key changed after a base revision: base and current value.
pub(in crate::settings) struct LaterVersion {
    pub(in crate::settings) key: String,
    pub(in crate::settings) base_version: Option<i32>,
    pub(in crate::settings) base_value: Option<Value>,
    pub(in crate::settings) current_version: i32,
    pub(in crate::settings) current_value: Value,
    pub(in crate::settings) updated_by: String,
    pub(in crate::settings) updated_at: DateTime<Utc>,
}

/// Reads all keys changed after `revision`, by key.
pub(in crate::settings) async fn later_versions(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<LaterVersion>> {
    sqlx::query_as!(
        LaterVersion,
        r#"
        select s.key, a.version as "base_version?", a.new_value_json as "base_value?",
          s.version as current_version, s.value_json as current_value,
          s.updated_by, s.updated_at
        from app_global_settings s
        left join lateral (
          select version, new_value_json from app_global_setting_audit
          where key = s.key and revision <= $1
          order by seq desc
          limit 1
        ) a on true
        where s.revision > $1
        order by s.key
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// Reads the newest version of each of `keys` in the audit trail, without keys never set.
pub(in crate::settings) async fn newest_versions(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<HashMap<String, i32>> {
    let rows = sqlx::query!(
        r#"
        select key, max(version) as "version!" from app_global_setting_audit
        where key = any($1) and version is not null
        group by key
        "#,
        keys,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.version)).collect())
}

/// Reads the subset of `keys` with values in the audit trail.
pub(in crate::settings) async fn with_values(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select key as "key!" from app_global_setting_audit
        where key = any($1) and (old_value_json is not null or new_value_json is not null)
        union
        select outside from brune_values_outside_trail($1) outside
        order by 1
        "#,
        keys,
    )
    .fetch_all(conn)
    .await
}
