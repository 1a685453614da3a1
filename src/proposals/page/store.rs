//! SQL of the list of proposals.

use crate::{
    database::Connection,
    proposals::{
        page::{Filter, Summary},
        record::State,
    },
};

/// Returns summaries of the proposals with smaller numbers than `before`, newest first.
pub(super) async fn summaries(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Summary>> {
    sqlx::query_as!(
        Summary,
        r#"
        select p.number, p.state, p.edition, e.reason, array(select jsonb_object_keys(e.edits)) as "keys!",
          p.created_by, p.created_at, p.due_at, p.bypassed_by, p.applied_revision, p.ended_at
        from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        where ($1::bigint is null or p.number < $1)
          and ($2::text is null or p.state = $2)
          and ($3::text is null or p.created_by = $3)
          and ($4::text is null or e.edits ? $4)
          and ($5::text is null or (
            (p.state = 'open' or p.bypassed_by is not null and not exists (
              select from brune_proposal_verdict v
              where v.proposal = p.id and v.edition = p.edition and v.verdict = 'acknowledge'))
            and not exists (
              select from brune_proposal_edition w
              where w.proposal = p.id and brune_person(w.written_by) = brune_person($5))
            and not exists (
              select from brune_proposal_verdict v
              where v.proposal = p.id and v.edition = p.edition and brune_person(v.given_by) = brune_person($5))))
        order by p.number desc limit $6
        "#,
        before,
        filter.state.map(State::as_str),
        filter.by,
        filter.key,
        filter.waiting_for,
        limit,
    )
    .fetch_all(conn)
    .await
}
