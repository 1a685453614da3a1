//! SQL of the feed.

use crate::{database::Connection, settings::feed::item::ChangeSet};

/// Reads the change sets after the revision `since` up to `newest`, in order, each with at most `max_keys` keys.
pub(in crate::settings) async fn change_sets(
    conn: &mut Connection,
    since: i64,
    newest: i64,
    max_keys: i32,
) -> sqlx::Result<Vec<ChangeSet>> {
    // Revision by revision, so that a large import costs no more than the listed keys.
    sqlx::query_as!(
        ChangeSet,
        r#"
        select revision as "revision!",
          (array_agg(key order by key))[1:$3::integer] as "keys!",
          count(*) > $3::integer as "truncated!",
          (array_agg(action order by seq))[1] as "action!",
          (array_agg(changed_by order by seq))[1] as "changed_by!",
          (array_agg(reason order by seq))[1] as "reason!",
          (array_agg(request_id order by seq))[1] as "request_id!",
          max(changed_at) as "changed_at!"
        from generate_series($1::bigint + 1, $2::bigint) as wanted (number)
        cross join lateral (
          select seq, revision, key, action, changed_by, reason, request_id, changed_at
          from app_global_setting_audit
          where revision = wanted.number
          limit $3::integer + 1
        ) entry
        group by revision
        order by revision
        "#,
        since,
        newest,
        max_keys,
    )
    .fetch_all(conn)
    .await
}
