//! SQL of releases. Triggers set the digest and the times, and append to the audit trail.

use crate::{audit::Actor, database::Connection, releases::Release};

/// Returns the release `name`.
pub async fn find(conn: &mut Connection, name: &str) -> sqlx::Result<Option<Release>> {
    sqlx::query_as!(
        Release,
        r#"
        select name, revision, encode(digest, 'hex') as "digest!", note, made_by, made_at, archived_by, archived_at,
          archive_reason
        from brune_release where name = $1
        "#,
        name,
    )
    .fetch_optional(conn)
    .await
}

/// Returns the newest 200 releases, newest first.
pub async fn list(conn: &mut Connection) -> sqlx::Result<Vec<Release>> {
    sqlx::query_as!(
        Release,
        r#"
        select name, revision, encode(digest, 'hex') as "digest!", note, made_by, made_at, archived_by, archived_at,
          archive_reason
        from brune_release order by made_at desc, name limit 200
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Names `revision`, which must exist. Returns `None` if the name exists.
pub async fn insert(
    conn: &mut Connection,
    actor: &Actor,
    name: &str,
    revision: i64,
) -> sqlx::Result<Option<Release>> {
    sqlx::query_as!(
        Release,
        r#"
        insert into brune_release (name, revision, note, made_by, request_id) values ($1, $2, $3, $4, $5)
        on conflict (name) do nothing
        returning name, revision, encode(digest, 'hex') as "digest!", note, made_by, made_at, archived_by, archived_at,
          archive_reason
        "#,
        name,
        revision,
        actor.reason.as_str(),
        actor.user.as_str(),
        actor.request.as_str(),
    )
    .fetch_optional(conn)
    .await
}

/// Archives the release `name`. Returns `None` if no such release exists, or if the release is archived.
pub async fn archive(
    conn: &mut Connection,
    actor: &Actor,
    name: &str,
) -> sqlx::Result<Option<Release>> {
    sqlx::query_as!(
        Release,
        r#"
        update brune_release set archived_by = $2, archive_reason = $3, archive_request_id = $4
        where name = $1 and archived_at is null
        returning name, revision, encode(digest, 'hex') as "digest!", note, made_by, made_at, archived_by, archived_at,
          archive_reason
        "#,
        name,
        actor.user.as_str(),
        actor.reason.as_str(),
        actor.request.as_str(),
    )
    .fetch_optional(conn)
    .await
}
