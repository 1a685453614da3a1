//! SQL of the counts for the metrics.

use crate::database::Connection;

/// The numbers of open proposals and of unacknowledged emergencies.
pub(super) struct Counts {
    pub(super) open: i64,
    pub(super) overdue: i64,
    pub(super) unacknowledged: i64,
    /// The age of the oldest unacknowledged emergency in seconds; 0 without one.
    pub(super) oldest_unacknowledged: f64,
}

/// Counts open proposals and unacknowledged emergencies.
pub(super) async fn counts(conn: &mut Connection) -> sqlx::Result<Counts> {
    sqlx::query_as!(
        Counts,
        r#"
        select (select count(*) from brune_proposal where state = 'open') as "open!",
          (select count(*) from brune_proposal where state = 'open' and due_at <= clock_timestamp()) as "overdue!",
          count(*) as "unacknowledged!",
          coalesce(extract(epoch from clock_timestamp() - min(p.ended_at)), 0)::float8 as "oldest_unacknowledged!"
        from brune_proposal p
        where p.bypassed_by is not null and not p.is_acknowledged
        "#,
    )
    .fetch_one(conn)
    .await
}
