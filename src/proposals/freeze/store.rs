//! SQL of freezes.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{audit::Actor, database::Connection, proposals::freeze::Freeze};

/// Returns the freeze that ends last of those that are active now, by the database's clock.
pub async fn active(conn: &mut Connection) -> sqlx::Result<Option<Freeze>> {
    sqlx::query_as!(
        Freeze,
        r#"
        select id, starts_at, ends_at, reason, set_by, set_at, ended_by, ended_at, end_reason,
          ceil(extract(epoch from ends_at - clock_timestamp()))::bigint as "seconds_left!"
        from brune_freeze
        where ended_at is null and starts_at <= clock_timestamp() and ends_at > clock_timestamp()
        order by ends_at desc limit 1
        "#,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the newest 200 freezes, the one that ends last first.
pub async fn list(conn: &mut Connection) -> sqlx::Result<Vec<Freeze>> {
    sqlx::query_as!(
        Freeze,
        r#"
        select id, starts_at, ends_at, reason, set_by, set_at, ended_by, ended_at, end_reason,
          ceil(extract(epoch from ends_at - clock_timestamp()))::bigint as "seconds_left!"
        from brune_freeze
        order by ends_at desc limit 200
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Inserts a freeze.
pub(super) async fn insert(
    conn: &mut Connection,
    actor: &Actor,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> sqlx::Result<Freeze> {
    sqlx::query_as!(
        Freeze,
        r#"
        insert into brune_freeze (id, starts_at, ends_at, reason, set_by, set_at, request_id)
        values ($1, $2, $3, $4, $5, now(), $6)
        returning id, starts_at, ends_at, reason, set_by, set_at, ended_by, ended_at, end_reason,
          ceil(extract(epoch from ends_at - clock_timestamp()))::bigint as "seconds_left!"
        "#,
        Uuid::now_v7(),
        starts_at,
        ends_at,
        actor.reason.as_str(),
        actor.user.as_str(),
        actor.request.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Ends a freeze that is not over. Returns `None` if no such freeze exists.
pub(super) async fn end(
    conn: &mut Connection,
    actor: &Actor,
    id: Uuid,
) -> sqlx::Result<Option<Freeze>> {
    sqlx::query_as!(
        Freeze,
        r#"
        update brune_freeze set ended_by = $2, end_reason = $3, end_request_id = $4
        where id = $1 and ended_at is null and ends_at > clock_timestamp()
        returning id, starts_at, ends_at, reason, set_by, set_at, ended_by, ended_at, end_reason,
          ceil(extract(epoch from ends_at - clock_timestamp()))::bigint as "seconds_left!"
        "#,
        id,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
    )
    .fetch_optional(conn)
    .await
}

/// Whether a freeze has the id.
pub(super) async fn exists(conn: &mut Connection, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from brune_freeze where id = $1) as "exists!""#,
        id
    )
    .fetch_one(conn)
    .await
}
