//! SQL of the idempotency keys.

use crate::database::Connection;

/// A stored result.
pub(super) struct Record {
    pub(super) fingerprint: Vec<u8>,
    pub(super) body: String,
}

/// Returns the record of the last 24 hours.
pub(super) async fn find(
    conn: &mut Connection,
    caller: &str,
    key: &str,
) -> sqlx::Result<Option<Record>> {
    // A setting may have become a secret since the response was stored.
    // The expiry uses the clock of the database, which has set `created_at`.
    sqlx::query_as!(
        Record,
        r#"
        select fingerprint, case
            when exists (
              select from app_global_setting_schema d
              where d.kind = 'secret' and strpos(body, to_jsonb(d.key)::text) > 0)
            then brune_changes_redacted(body::jsonb, array(
              select d.key from app_global_setting_schema d where d.kind = 'secret'))::text
            else body end as "body!"
        from app_idempotency_key
        where caller = $1 and key = $2 and created_at > now() - interval '24 hours'
        "#,
        caller,
        key,
    )
    .fetch_optional(conn)
    .await
}

/// Locks the head of the settings, the lock that every write takes first, until the transaction ends.
pub(super) async fn lock_writes(conn: &mut Connection) -> sqlx::Result<()> {
    sqlx::query!("select from app_global_setting_head for update").execute(conn).await?;
    Ok(())
}

/// Locks the key `key` of `caller`, until the transaction ends.
pub(super) async fn lock_key(conn: &mut Connection, caller: &str, key: &str) -> sqlx::Result<()> {
    // Advisory, because a key has no row before the first result is stored.
    sqlx::query!(
        "select from pg_advisory_xact_lock(hashtextextended($1, hashtext($2)))",
        caller,
        key,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts a result, or replaces an expired result.
pub(super) async fn insert(
    conn: &mut Connection,
    caller: &str,
    key: &str,
    fingerprint: &[u8],
    body: &str,
) -> sqlx::Result<()> {
    // An expired record may still exist, since records are deleted in small batches.
    sqlx::query!(
        r#"
        insert into app_idempotency_key (caller, key, fingerprint, body)
        values ($1, $2, $3, $4)
        on conflict (caller, key) do update
          set fingerprint = excluded.fingerprint, body = excluded.body, created_at = now()
        "#,
        caller,
        key,
        fingerprint,
        body,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes up to 10 expired results.
pub(super) async fn delete_expired(conn: &mut Connection) -> sqlx::Result<()> {
    // More than a write adds, so that expired results never accumulate.
    // Skips locked rows, so that concurrent writes do not wait for each other.
    sqlx::query!(
        r#"
        delete from app_idempotency_key where (caller, key) in (
          select caller, key from app_idempotency_key
          where created_at < now() - interval '24 hours' order by created_at limit 10
          for update skip locked)
        "#
    )
    .execute(conn)
    .await?;
    Ok(())
}
