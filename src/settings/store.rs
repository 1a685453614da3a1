//! SQL of the settings and of the head row.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::types::Json;

use crate::{
    database::Connection,
    settings::{
        entry::StoredSetting,
        rollout::{Epoch, RunningRollout},
        value::{SettingValue, ValueType},
    },
};

/// The head row: the newest revisions of the settings and of the catalog.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) revision: i64,
    pub(super) catalog_revision: i64,
    pub(super) catalog: Option<String>,
    /// The timeline of the server, which changes with a failover; `None` on a server in recovery.
    pub(super) timeline: Option<String>,
    /// The digest of the secret in the notification of the next revision; `None` if published before a restart of the
    /// server, or in the original of a copied database.
    pub(super) next_digest: Option<Vec<u8>>,
}

/// Reads the head.
pub(super) async fn head(conn: &mut Connection) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"
        select revision, catalog_revision, catalog,
          case when digest_origin = brune_notification_origin() then next_digest end as next_digest,
          case when not pg_is_in_recovery()
               then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline
        from app_global_setting_head
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Reads the head and locks the row until the transaction ends: writers are serialized.
pub(super) async fn head_for_update(conn: &mut Connection) -> sqlx::Result<Head> {
    sqlx::query_as!(
        Head,
        r#"
        select revision, catalog_revision, catalog, null as timeline, null::bytea as next_digest
        from app_global_setting_head
        for update
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Reads all settings, by key.
pub(super) async fn all(conn: &mut Connection) -> sqlx::Result<Vec<StoredSetting>> {
    sqlx::query_as!(
        StoredSetting,
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

/// Reads the settings `keys`, without missing ones.
pub(super) async fn some(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<Vec<StoredSetting>> {
    sqlx::query_as!(
        StoredSetting,
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

/// A row of [`changed_since`]: the head, and one changed key, if any.
pub(super) struct Change {
    pub(super) revision: i64,
    pub(super) catalog_revision: i64,
    /// Grows with every change of what a session start may do that is no revision.
    epoch: i64,
    /// The running rollout, in one row only.
    rollout: Option<Json<RunningRollout>>,
    pub(super) timeline: Option<String>,
    /// The seconds since the newest change.
    age: Option<f64>,
    /// The time of the read, by the database's clock.
    pub(super) read_at: Option<DateTime<Utc>>,
    /// As in [`Head`].
    pub(super) next_digest: Option<Vec<u8>>,
    key: Option<String>,
    value: Option<Value>,
    version: Option<i32>,
    updated_by: Option<String>,
    updated_at: Option<DateTime<Utc>>,
}

impl Change {
    /// Returns the time since the newest change, by the database's clock.
    pub(super) fn age(&self) -> Option<Duration> {
        // A server clock set back gives a negative age, and then no age is reported.
        Duration::try_from_secs_f64(self.age?).ok()
    }

    /// Returns the epoch with the running rollout of `changes`.
    pub(super) fn epoch_of(changes: &[Self]) -> Epoch {
        let number = changes.first().map_or(0, |change| change.epoch);
        let rollout = changes.iter().find_map(|change| change.rollout.as_ref());
        Epoch { number, rollout: rollout.map(|Json(rollout)| rollout.clone()) }
    }

    pub(super) fn stored(self) -> Option<StoredSetting> {
        let Self { key, value, version, updated_by, updated_at, .. } = self;
        Some(StoredSetting { key: key?, value, version, updated_by, updated_at })
    }
}

/// Reads the head, the running rollout, and the settings changed after `revision`, including deletions, recorded only in
/// the audit trail.
pub(super) async fn changed_since(
    conn: &mut Connection,
    revision: i64,
) -> sqlx::Result<Vec<Change>> {
    // One statement, so that head and settings are of one state of the database. No entry is newer than the head: the second
    // bound lets the planner expect few entries and use the index, also with the statistics of an empty trail.
    sqlx::query_as!(
        Change,
        r#"
        select h.revision, h.catalog_revision, h.epoch,
          case when not pg_is_in_recovery()
               then substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end as timeline,
          case when isfinite(h.changed_at)
               then extract(epoch from clock_timestamp() - h.changed_at)::float8 end as age,
          clock_timestamp() as read_at,
          -- Once, whatever the number of changed settings: the values may be large.
          case when row_number() over () = 1 then (
            select jsonb_build_object('proposal', p.id, 'number', p.number, 'edition', p.edition, 'stage', p.stage,
              'share', p.share_bp, 'salt', encode(p.salt, 'base64'), 'edits', e.edits)
            from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
            where p.state = 'rolling') end as "rollout: Json<RunningRollout>",
          case when h.digest_origin = brune_notification_origin() then h.next_digest end as next_digest,
          a.key as "key?", s.value_json as "value?", s.version as "version?", s.updated_by as "updated_by?",
          s.updated_at as "updated_at?"
        from app_global_setting_head h
        left join lateral (
          select distinct key from app_global_setting_audit where revision > $1 and revision <= h.revision) a on true
        left join app_global_settings s on s.key = a.key
        "#,
        revision,
    )
    .fetch_all(conn)
    .await
}

/// A new version of one key.
#[derive(Debug)]
pub(super) struct Write<'a> {
    pub(super) key: &'a str,
    pub(super) value_type: ValueType,
    pub(super) value: &'a SettingValue,
    pub(super) version: i32,
}

/// A row after a write.
#[derive(Debug)]
pub(super) struct WrittenRow {
    pub(super) key: String,
    pub(super) value: SettingValue,
    pub(super) version: i32,
    pub(super) revision: i64,
}

/// Writes new versions of keys, under the lock of the head. Returns the rows in any order.
pub(super) async fn write(
    conn: &mut Connection,
    user: &str,
    writes: &[Write<'_>],
) -> sqlx::Result<Vec<WrittenRow>> {
    let keys: Vec<String> = writes.iter().map(|write| write.key.to_owned()).collect();
    let types: Vec<String> =
        writes.iter().map(|write| write.value_type.as_str().to_owned()).collect();
    let values: Vec<Value> = writes.iter().map(|write| write.value.to_json()).collect();
    let versions: Vec<i32> = writes.iter().map(|write| write.version).collect();
    // Not `on conflict do update`, which also runs the triggers of an insert; the lock rules out a race.
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
    let types: HashMap<_, _> = writes.iter().map(|write| (write.key, write.value_type)).collect();
    let results = rows.into_iter().map(|row| {
        // The stored value is read back: a trigger compares the audit entry with the stored row.
        let declared = types.get(row.key.as_str());
        let value = declared.and_then(|kind| SettingValue::from_stored(*kind, &row.value).ok());
        let value = value.ok_or_else(|| sqlx::Error::Decode("not of the declared type".into()))?;
        Ok(WrittenRow { key: row.key, value, version: row.version, revision: row.revision })
    });
    results.collect()
}

/// Reads the head and all settings, in one state of the database.
pub(super) async fn listing(conn: &mut Connection) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"
        select h.revision, h.catalog_revision, h.epoch, null as timeline, null::float8 as age,
          null::timestamptz as read_at, null::jsonb as "rollout: Json<RunningRollout>",
          null::bytea as next_digest, s.key as "key?",
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
