//! SQL of unacknowledged emergencies.

use crate::database::Connection;

/// An emergency that nobody has acknowledged.
#[derive(Debug)]
pub struct UnacknowledgedEmergency {
    /// The number of the proposal.
    pub number: i64,
    /// The applied edition.
    pub edition: i32,
    /// The revision of the change.
    pub revision: i64,
    /// The changed settings.
    pub keys: Vec<String>,
    /// The person who applied the change.
    pub bypassed_by: String,
    /// The reason.
    pub reason: String,
    /// The request.
    pub request_id: String,
}

/// Returns the first emergency with a number greater than `after` whose alert is due: nobody has acknowledged the
/// emergency, and the last alert is a day old.
pub async fn next_unacknowledged(
    conn: &mut Connection,
    after: i64,
) -> sqlx::Result<Option<UnacknowledgedEmergency>> {
    sqlx::query_as!(
        UnacknowledgedEmergency,
        r#"
        select p.number, p.edition, p.applied_revision as "revision!", p.bypassed_by as "bypassed_by!",
          p.end_reason as "reason!", p.end_request_id as request_id, array(select jsonb_object_keys(e.edits)) as "keys!"
        from brune_proposal p
        join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        left join brune_proposal_reminder r on r.proposal = p.id
        where p.bypassed_by is not null and not p.is_acknowledged and p.number > $1
          and (r.sent_at is null or r.sent_at <= clock_timestamp() - interval '24 hours')
        order by p.number limit 1
        "#,
        after,
    )
    .fetch_optional(conn)
    .await
}

/// Records an alert of the emergency `number`, under the lock of the head. Records nothing and returns false if the
/// emergency is acknowledged, or if the last alert is less than a day old.
pub async fn record_emergency_alert(conn: &mut Connection, number: i64) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        r#"
        insert into brune_proposal_reminder as r (proposal, sent_at)
        select p.id, clock_timestamp() from brune_proposal p
        where p.number = $1 and p.bypassed_by is not null and not p.is_acknowledged
        on conflict (proposal) do update set sent_at = excluded.sent_at
        where r.sent_at <= excluded.sent_at - interval '24 hours'
        "#,
        number,
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}
