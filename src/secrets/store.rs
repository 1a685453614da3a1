//! SQL of what is left of secrets.

use crate::database::Connection;

/// The values that are still stored under the keys of secrets, by key.
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

/// The secrets of which a value is still stored, among the settings or in the trail; by key.
pub(super) async fn residue(conn: &mut Connection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select d.key
        from app_global_setting_schema d
        where d.kind = 'secret' and (
          exists (select from app_global_settings s where s.key = d.key)
          or exists (
            select from app_global_setting_audit a
            where a.key = d.key and (a.old_value_json is not null or a.new_value_json is not null)))
        order by d.key
        "#,
    )
    .fetch_all(conn)
    .await
}

/// Takes the rows of `keys` out of the settings, and their values out of the trail.
pub(super) async fn remove(conn: &mut Connection, keys: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from app_global_settings where key = any($1)", keys,)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        r#"
        update app_global_setting_audit
        set old_value_json = null, new_value_json = null, salt = null
        where key = any($1) and (old_value_json is not null or new_value_json is not null)
        "#,
        keys,
    )
    .execute(conn)
    .await?;
    Ok(())
}
