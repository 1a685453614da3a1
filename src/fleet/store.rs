//! SQL of the fleet.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    database::Connection,
    fleet::level::{FeatureLevel, OutdatedInstance},
};

/// The heartbeat of an instance.
pub(super) struct Heartbeat<'a> {
    pub(super) id: Uuid,
    pub(super) host: &'a str,
    pub(super) version: &'a str,
    pub(super) started_at: DateTime<Utc>,
    pub(super) applied_revision: i64,
    pub(super) level: FeatureLevel,
}

/// Inserts or updates the row of an instance.
pub(super) async fn upsert_heartbeat(
    conn: &mut Connection,
    heartbeat: &Heartbeat<'_>,
) -> sqlx::Result<()> {
    // Host, release and start belong to the id and never change, so two columns suffice.
    sqlx::query!(
        r#"
        insert into brune_instance (id, host, version, started_at, applied_revision, feature_level, seen_at)
        values ($1, $2, $3, $4, $5, $6, clock_timestamp())
        on conflict (id) do update
          set applied_revision = excluded.applied_revision, seen_at = excluded.seen_at
        "#,
        heartbeat.id,
        heartbeat.host,
        heartbeat.version,
        heartbeat.started_at,
        heartbeat.applied_revision,
        heartbeat.level.number(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An instance without recent heartbeats.
pub(super) struct ExpiredInstance {
    pub(super) id: Uuid,
    pub(super) host: String,
    pub(super) version: String,
    pub(super) seen_at: DateTime<Utc>,
}

/// Deletes and returns the instances without a heartbeat for `max_age`, except rows that another instance is deleting.
pub(super) async fn delete_expired(
    conn: &mut Connection,
    max_age: Duration,
) -> sqlx::Result<Vec<ExpiredInstance>> {
    sqlx::query_as!(
        ExpiredInstance,
        r#"
        delete from brune_instance where id in (
          select id from brune_instance where seen_at < clock_timestamp() - make_interval(secs => $1)
          for update skip locked)
        returning id, host, version, seen_at
        "#,
        max_age.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Deletes the instance `id`.
pub(super) async fn delete(conn: &mut Connection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from brune_instance where id = $1", id).execute(conn).await?;
    Ok(())
}

/// An instance with the newest revision of the settings.
pub(super) struct Row {
    pub(super) head: i64,
    pub(super) id: Option<Uuid>,
    pub(super) host: Option<String>,
    pub(super) version: Option<String>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) applied_revision: Option<i64>,
    pub(super) seen_at: Option<DateTime<Utc>>,
    pub(super) seen_ms_ago: Option<i64>,
    pub(super) live: Option<bool>,
}

/// Returns every instance with the newest revision, oldest first. An instance without a heartbeat for `max_age` is not live.
pub(super) async fn all(conn: &mut Connection, max_age: Duration) -> sqlx::Result<Vec<Row>> {
    // A left join from the head, so an empty fleet still returns the newest revision.
    sqlx::query_as!(
        Row,
        r#"
        select h.revision as head, i.id as "id?", i.host as "host?", i.version as "version?",
          i.started_at as "started_at?", i.applied_revision as "applied_revision?",
          i.seen_at as "seen_at?",
          (extract(epoch from clock_timestamp() - i.seen_at) * 1000)::bigint as "seen_ms_ago?",
          i.seen_at > clock_timestamp() - make_interval(secs => $1) as "live?"
        from app_global_setting_head h
        left join brune_instance i on true
        order by i.started_at, i.id
        "#,
        max_age.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// The applied revision of an instance.
#[derive(Debug)]
pub(super) struct HeartbeatRow {
    pub(super) id: Uuid,
    pub(super) host: String,
    pub(super) applied_revision: i64,
}

/// Returns the instances with a heartbeat within `max_age`.
pub(super) async fn live(
    conn: &mut Connection,
    max_age: Duration,
) -> sqlx::Result<Vec<HeartbeatRow>> {
    sqlx::query_as!(
        HeartbeatRow,
        r#"
        select id, host, applied_revision from brune_instance
        where seen_at > clock_timestamp() - make_interval(secs => $1)
        order by started_at, id
        "#,
        max_age.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Returns the instances with a heartbeat within `max_age` whose release is below `level`.
pub(super) async fn outdated(
    conn: &mut Connection,
    max_age: Duration,
    level: FeatureLevel,
) -> sqlx::Result<Vec<OutdatedInstance>> {
    sqlx::query_as!(
        OutdatedInstance,
        r#"
        select id, host, version from brune_instance
        where seen_at > clock_timestamp() - make_interval(secs => $1) and feature_level < $2
        order by started_at, id
        "#,
        max_age.as_secs_f64(),
        level.number(),
    )
    .fetch_all(conn)
    .await
}
