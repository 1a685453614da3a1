//! SQL of refused starts.

use crate::{
    database::Connection,
    sessions::{refusal::Refusal, session::Arm},
};

/// Inserts `refusal`, unless the user has a row of the same minute.
pub(super) async fn insert(conn: &mut Connection, refusal: &Refusal<'_>) -> sqlx::Result<()> {
    let session = refusal.session;
    let (proposal, is_candidate, share_bp) = Arm::columns(session.arm.as_ref());
    sqlx::query!(
        "insert into brune_start_refused (at, user_id, plan, level, codes, revision, proposal, candidate, share_bp)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9
         -- The response of the start must not wait for the disk: a crash may lose the row.
         where set_config('synchronous_commit', 'off', true) = 'off'
         on conflict do nothing",
        session.started_at,
        session.user.id.as_str(),
        session.user.plan.as_deref(),
        session.user.level.as_deref(),
        &refusal.codes() as &[&str],
        session.settings.revision,
        proposal,
        is_candidate,
        share_bp,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes rows older than the retention.
pub(super) async fn delete_expired(conn: &mut Connection, days: i32) -> sqlx::Result<u64> {
    // Limited, so a deletion holds few locks; the rest follows at the next interval.
    let result = sqlx::query!(
        "delete from brune_start_refused where (minute, user_id) in (
           select minute, user_id from brune_start_refused
           where minute < clock_timestamp() - $1 * interval '1 day'
           order by minute limit 10000 for update skip locked)",
        f64::from(days),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected())
}
