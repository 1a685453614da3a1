//! SQL of the settings, their declarations and the head they share.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::{
    database::Connection,
    settings::{
        entry::{Since, Stored},
        value::{SettingValue, ValueType},
    },
};

/// The newest revision, and what else every reader compares.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) revision: i64,
    pub(super) catalog_revision: i64,
    pub(super) catalog: Option<String>,
    /// Of the server that answered; another one after a failover. `None` on a server in recovery.
    pub(super) timeline: Option<String>,
}

/// The head.
pub(super) async fn head(conn: &mut Connection) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"
        select revision, catalog_revision, catalog,
          case when not pg_is_in_recovery()
               then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline
        from app_global_setting_head
        "#,
    )
    .fetch_one(conn)
    .await
}

/// The head, held against other writers until the transaction ends.
pub(super) async fn head_for_update(conn: &mut Connection) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"
        select revision, catalog_revision, catalog, null as timeline
        from app_global_setting_head
        for update
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Every setting, by key.
pub(super) async fn all(conn: &mut Connection) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"
        select key, value_json as "value?", version as "version?", updated_by as "updated_by?",
          updated_at as "updated_at?"
        from app_global_settings
        order by key
        "#,
    )
    .fetch_all(conn)
    .await
}

/// The settings called `keys`; those that are not stored are left out.
pub(super) async fn some(conn: &mut Connection, keys: &[String]) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
        r#"
        select key, value_json as "value?", version as "version?", updated_by as "updated_by?",
          updated_at as "updated_at?"
        from app_global_settings
        where key = any($1)
        "#,
        keys,
    )
    .fetch_all(conn)
    .await
}

/// A row of [`changed_since`]: the head, and one key that changed, if any did.
pub(super) struct Change {
    pub(super) revision: i64,
    pub(super) catalog_revision: i64,
    pub(super) timeline: Option<String>,
    /// Seconds since the newest change.
    age: Option<f64>,
    key: Option<String>,
    value: Option<Value>,
    version: Option<i32>,
    updated_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
}

impl Change {
    /// Since the newest change, by the database's clock.
    pub(super) fn age(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.age?).ok()
    }

    pub(super) fn stored(self) -> Option<Stored> {
        let Self { key, value, version, updated_by, updated_at, .. } = self;
        Some(Stored { key: key?, value, version, updated_by, updated_at })
    }
}

/// Returns the head and the changes after `revision`, deletions included, as one state of the database.
pub(super) async fn changed_since(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"
        select h.revision, h.catalog_revision,
          case when not pg_is_in_recovery()
               then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline,
          case when isfinite(h.changed_at)
               then extract(epoch from clock_timestamp() - h.changed_at)::float8 end as age,
          a.key as "key?", s.value_json as "value?", s.version as "version?",
          s.updated_by as "updated_by?", s.updated_at as "updated_at?"
        from app_global_setting_head h
        left join (select distinct key from app_global_setting_audit where revision > $1) a on true
        left join app_global_settings s on s.key = a.key
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// A new value for one key, as the next version of it.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) key: &'a str,
    pub(super) value_type: ValueType,
    pub(super) value: &'a SettingValue,
    pub(super) version: i32,
}

/// What a write left in the database.
#[derive(Debug)]
pub(super) struct WriteResult {
    pub(super) key: String,
    pub(super) value: SettingValue,
    pub(super) version: i32,
    pub(super) revision: i64,
}

/// Writes values over the versions before them, and returns what is stored, in no order. Under the lock, so
/// that what is not there cannot come in between: `on conflict` would run an insertion's triggers as well.
pub(super) async fn write(
    conn: &mut Connection,
    user: &str,
    writes: &[Write<'_>],
) -> sqlx::Result<Vec<WriteResult>> {
    let keys: Vec<String> = writes.iter().map(|it| it.key.to_owned()).collect();
    let types: Vec<String> = writes.iter().map(|it| it.value_type.as_str().to_owned()).collect();
    let values: Vec<Value> = writes.iter().map(|it| it.value.to_json()).collect();
    let versions: Vec<i32> = writes.iter().map(|it| it.version).collect();
    let rows = sqlx::query!(
        r#"
        with edit as (
          select * from unnest($1::text[], $2::text[], $3::jsonb[], $4::integer[])
            as edit (key, value_type, value_json, version)
        ), updated as (
          update app_global_settings s set value_type = edit.value_type, value_json = edit.value_json,
            version = edit.version, updated_by = $5
          from edit
          where s.key = edit.key
          returning s.key, s.value_json, s.version, s.revision
        ), inserted as (
          insert into app_global_settings
            (key, value_type, value_json, version, updated_by, updated_at, revision)
          select key, value_type, value_json, version, $5, now(), 0
          from edit
          where not exists (select from app_global_settings s where s.key = edit.key)
          returning key, value_json, version, revision
        )
        select key as "key!", value_json as "value!", version as "version!",
          revision as "revision!"
        from (select * from updated union all select * from inserted) written
        "#,
        &keys,
        &types,
        &values,
        &versions,
        user,
    )
    .fetch_all(conn)
    .await?;
    let types: HashMap<_, _> = writes.iter().map(|edit| (edit.key, edit.value_type)).collect();
    let results = rows.into_iter().map(|row| {
        let declared = types.get(row.key.as_str());
        let value = declared.and_then(|kind| SettingValue::from_stored(*kind, &row.value).ok());
        let value = value.ok_or_else(|| sqlx::Error::Decode("not of the declared type".into()))?;
        Ok(WriteResult { key: row.key, value, version: row.version, revision: row.revision })
    });
    results.collect()
}

/// Returns the stored values of `keys`, each at the version at the same position, without versions that do not exist.
pub(super) async fn values_at_versions(
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

/// Every declared key as it was at `revision`: the newest change up to it, by key.
pub(super) async fn as_of(conn: &mut Connection, revision: i64) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as!(
        Stored,
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

/// The newest revision that was committed by `instant`.
pub(super) async fn revision_at(
    conn: &mut Connection,
    instant: DateTime<Utc>,
) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"
        select revision from app_global_setting_audit
        where changed_at <= $1 and revision is not null
        order by changed_at desc, seq desc
        limit 1
        "#,
        instant,
    )
    .fetch_optional(conn)
    .await
    .map(Option::flatten)
}

/// The newest change of `key` after `version`, if there was one.
pub(super) async fn since_version(
    conn: &mut Connection,
    key: &str,
    version: i32,
) -> sqlx::Result<Vec<Since>> {
    sqlx::query_as!(
        Since,
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

/// The newest change of each key after `revision`, by key.
pub(super) async fn since_revision(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<Since>> {
    sqlx::query_as!(
        Since,
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

/// A key that was changed after a revision: as it was then, and as it is.
pub(super) struct ChangedKey {
    pub(super) key: String,
    pub(super) base_version: Option<i32>,
    pub(super) base_value: Option<Value>,
    pub(super) current_version: i32,
    pub(super) current_value: Value,
    pub(super) updated_by: String,
    pub(super) updated_at: DateTime<Utc>,
}

/// Every key that was changed after `revision`, by key.
pub(super) async fn moved_since(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<ChangedKey>> {
    sqlx::query_as!(
        ChangedKey,
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

/// Every setting with the head, as one state of the database.
pub(super) async fn listing(conn: &mut Connection) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"
        select h.revision, h.catalog_revision, null as timeline, null::float8 as age, s.key as "key?",
          s.value_json as "value?", s.version as "version?", s.updated_by as "updated_by?",
          s.updated_at as "updated_at?"
        from app_global_setting_head h
        left join app_global_settings s on true
        order by s.key
        "#,
    )
    .fetch_all(conn)
    .await
}

/// The newest version that each of `keys` ever had; those that never had one are left out.
pub(super) async fn newest_versions(
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

/// Those of `keys` whose entries in the trail hold values.
pub(super) async fn with_values(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select distinct key from app_global_setting_audit
        where key = any($1) and (old_value_json is not null or new_value_json is not null)
        order by key
        "#,
        keys,
    )
    .fetch_all(conn)
    .await
}
