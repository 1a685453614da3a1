//! SQL of the fleet.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::database::Connection;

/// An instance, as it writes itself down.
pub(super) struct Beat<'a> {
    pub(super) id: Uuid,
    pub(super) host: &'a str,
    pub(super) version: &'a str,
    pub(super) started_at: DateTime<Utc>,
    pub(super) applied_revision: i64,
}

/// Writes that the instance is there, and what it has applied. An update in place wherever there is a row.
pub(super) async fn beat(conn: &mut Connection, beat: &Beat<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into brune_instance (id, host, version, started_at, applied_revision, seen_at)
        values ($1, $2, $3, $4, $5, clock_timestamp())
        on conflict (id) do update
          set applied_revision = excluded.applied_revision, seen_at = excluded.seen_at
        "#,
        beat.id,
        beat.host,
        beat.version,
        beat.started_at,
        beat.applied_revision,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An instance that ended without a word.
pub(super) struct Silent {
    pub(super) id: Uuid,
    pub(super) host: String,
    pub(super) version: String,
    pub(super) seen_at: DateTime<Utc>,
}

/// Deletes the instances that were not seen for `silence`, and returns them; those that another one deletes now are
/// left to it.
pub(super) async fn forget(conn: &mut Connection, silence: Duration) -> sqlx::Result<Vec<Silent>> {
    sqlx::query_as!(
        Silent,
        r#"
        delete from brune_instance where id in (
          select id from brune_instance where seen_at < clock_timestamp() - make_interval(secs => $1)
          for update skip locked)
        returning id, host, version, seen_at
        "#,
        silence.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// Deletes the instance `id`.
pub(super) async fn delete(conn: &mut Connection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from brune_instance where id = $1", id).execute(conn).await?;
    Ok(())
}

/// An instance with the head that it is held against.
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

/// Every instance with the head, oldest first; one that was not seen for `silence` is not live.
pub(super) async fn all(conn: &mut Connection, silence: Duration) -> sqlx::Result<Vec<Row>> {
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
        silence.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}

/// What a waiter has to know of an instance.
#[derive(Debug)]
pub(super) struct HeartbeatRow {
    pub(super) id: Uuid,
    pub(super) host: String,
    pub(super) applied_revision: i64,
}

/// The instances that were seen within `silence`. Without the head: whoever waits knows what for.
pub(super) async fn live(
    conn: &mut Connection,
    silence: Duration,
) -> sqlx::Result<Vec<HeartbeatRow>> {
    sqlx::query_as!(
        HeartbeatRow,
        r#"
        select id, host, applied_revision from brune_instance
        where seen_at > clock_timestamp() - make_interval(secs => $1)
        order by started_at, id
        "#,
        silence.as_secs_f64(),
    )
    .fetch_all(conn)
    .await
}
