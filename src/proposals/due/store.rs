//! SQL of due proposals.

use chrono::{DateTime, Utc};

use crate::database::Connection;

/// Returns the number of the first due proposal after `(due_at, number)`, except `skipped`, by the database's clock.
pub async fn next_due(
    conn: &mut Connection,
    after: Option<(DateTime<Utc>, i64)>,
    skipped: &[i64],
) -> sqlx::Result<Option<(DateTime<Utc>, i64)>> {
    let (due_at, number) = after.unzip();
    let row = sqlx::query!(
        r#"
        select due_at as "due_at!", number from brune_proposal
        where state = 'open' and due_at <= clock_timestamp()
          and ($1::timestamptz is null or (due_at, number) > ($1, $2))
          and number <> all($3)
        order by due_at, number limit 1
        "#,
        due_at,
        number,
        skipped,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.due_at, row.number)))
}

/// Returns the due proposals that only wait for the end of a freeze: approved, and within the grace period, which is
/// `default_grace` minutes for a plan without one. Empty without a freeze.
pub async fn waiting_for_freeze(
    conn: &mut Connection,
    default_grace: i32,
) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"
        select p.number from brune_proposal p
        join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        cross join lateral (
          select count(*) filter (where verdict = 'approve') as approvals,
            count(*) filter (where verdict = 'object') as objections
          from (
            select distinct on (brune_person(given_by)) verdict from brune_proposal_verdict
            where proposal = p.id and edition = p.edition and verdict <> 'acknowledge'
            order by brune_person(given_by), seq desc) newest) status
        where exists (
            select from brune_freeze
            where ended_at is null and starts_at <= clock_timestamp() and ends_at > clock_timestamp())
          and p.state = 'open' and p.due_at <= clock_timestamp()
          and clock_timestamp() - p.due_at <=
            make_interval(mins => coalesce((e.plan ->> 'grace_minutes')::integer, $1))
          and status.objections = 0
          and status.approvals >= (
            select coalesce(max(approvals), 0) from app_global_setting_schema
            where key = any(array(select jsonb_object_keys(e.edits))))
        order by p.due_at, p.number
        "#,
        default_grace,
    )
    .fetch_all(conn)
    .await
}
