//! SQL of stored secrets.

use crate::database::Connection;

/// Returns the stored values of secrets, sorted by key.
pub(super) async fn values(
    conn: &mut Connection,
) -> sqlx::Result<Vec<(String, serde_json::Value)>> {
    let rows = sqlx::query!(
        r#"
        select s.key, s.value_json
        from app_global_settings s
        join app_global_setting_schema d on d.key = s.key and d.kind = 'secret'
        order by s.key
        "#,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.value_json)).collect())
}

/// Returns the secrets with a stored value, sorted: in the settings, the audit trail, proposals, messages, and stored
/// responses.
pub(super) async fn residue(conn: &mut Connection) -> sqlx::Result<Vec<String>> {
    // By the published catalog: a key declared secret today may have been a setting before.
    sqlx::query_scalar!(
        r#"
        select d.key as "key!"
        from app_global_setting_schema d
        where d.kind = 'secret' and (
          exists (select from app_global_settings s where s.key = d.key)
          or exists (
            select from app_global_setting_audit a
            where a.key = d.key and (a.old_value_json is not null or a.new_value_json is not null)))
        union
        select outside from brune_values_outside_trail(
          array(select key from app_global_setting_schema where kind = 'secret')) outside
        order by 1
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Deletes the rows of `keys` from the settings, and the values from the audit trail, proposals, messages and stored
/// responses.
pub(super) async fn remove(conn: &mut Connection, keys: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from app_global_settings where key = any($1)", keys,)
        .execute(&mut *conn)
        .await?;
    // The chain of the trail covers digests, so the removal of values breaks no hash. The salt is
    // removed too, because a known salt would allow guesses at the values behind the digests.
    sqlx::query!(
        r#"
        update app_global_setting_audit
        set old_value_json = null, new_value_json = null, salt = null
        where key = any($1) and (old_value_json is not null or new_value_json is not null)
        "#,
        keys,
    )
    .execute(&mut *conn)
    .await?;
    // As in the trail: the digest of the edition stays, and the salt goes.
    sqlx::query!(
        r#"
        update brune_proposal_edition set edits = brune_edits_redacted(edits, $1), salt = null
        where edits ?| $1 and edits <> brune_edits_redacted(edits, $1)
        "#,
        keys,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        update brune_outbox set payload = brune_changes_redacted(payload, $1)
        where payload <> brune_changes_redacted(payload, $1)
        "#,
        keys,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        r#"
        update app_idempotency_key set body = brune_changes_redacted(body::jsonb, $1)::text
        where body::jsonb <> brune_changes_redacted(body::jsonb, $1)
        "#,
        keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}
