//! SQL of the list of proposals.

use sqlx::{Postgres, QueryBuilder};

use crate::{
    database::Connection,
    proposals::{
        page::{Filter, Summary},
        record::State,
    },
};

/// Counts the approvals and objections of the current edition of the proposal `p`: the newest verdict of each person.
const APPROVAL_COUNTS: &str = "select count(*) filter (where verdict = 'approve') as approvals, \
    count(*) filter (where verdict = 'object') as objections from ( \
      select distinct on (brune_person(given_by)) verdict from brune_proposal_verdict \
      where proposal = p.id and edition = p.edition and verdict <> 'acknowledge' \
      order by brune_person(given_by), seq desc) newest";

/// Selects the number of approvals that the settings of the proposal `p` need today.
const NEEDED: &str = "select coalesce(max(approvals), 0::smallint) as needed \
    from app_global_setting_schema where key = any(array(select jsonb_object_keys(p.edits)))";

/// Returns summaries of the proposals with smaller numbers than `before`, newest first.
///
/// The query has only the conditions in use, so that each filter uses its own index.
pub(super) async fn summaries(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Summary>> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select number, state, edition, reason, array(select jsonb_object_keys(edits)) as keys, created_by, \
         created_at, due_at, bypassed_by, applied_revision, ended_at, failure, share_bp / 100 as share, \
         stage, case when state = 'rolling' then held_reason end as held, needed, approvals, objections, \
         is_acknowledged as acknowledged from (",
    );
    match &filter.waiting_for {
        None => push_matching(&mut query, filter, before, limit, |query| {
            query.push("true");
        }),
        // Two lists with an index each: together, the database would read every proposal.
        Some(person) => {
            push_matching(&mut query, filter, before, limit, |query| push_open(query, person));
            query.push(" union all ");
            push_matching(&mut query, filter, before, limit, |query| {
                push_emergencies(query, person);
            });
        }
    }
    query
        .push(") p cross join lateral (")
        .push(APPROVAL_COUNTS)
        .push(") s cross join lateral (")
        .push(NEEDED);
    query.push(") n order by number desc limit ").push_bind(limit);
    // The best plan depends on how common the key is, so no plan is kept for all keys.
    let is_plan_kept = filter.key.is_none();
    query.build_query_as().persistent(is_plan_kept).fetch_all(conn).await
}

/// Appends a query of the newest proposals that match `filter` and the condition that `push_condition` appends.
fn push_matching(
    query: &mut QueryBuilder<Postgres>,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
    push_condition: impl FnOnce(&mut QueryBuilder<Postgres>),
) {
    query.push("(select p.*, e.reason, e.edits from brune_proposal p ");
    query.push(match filter.key {
        // Begins with the index of keys, or with the newest proposals if the key is common.
        Some(_) => {
            "join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition where "
        }
        // `offset 0` prevents a join that reads the editions of all proposals.
        None => {
            "cross join lateral (select reason, edits from brune_proposal_edition \
             where proposal = p.id and edition = p.edition offset 0) e where "
        }
    });
    push_condition(query);
    // Values are bound, never part of the text.
    if let Some(before) = before {
        query.push(" and p.number < ").push_bind(before);
    }
    // A list of one value, and an order by the column: otherwise the server may read the proposals of all states or
    // authors by number, because the kept plan is made without the value.
    let mut order = "p.number desc";
    if let Some(state) = filter.state {
        query.push(" and p.state = any(").push_bind(vec![State::as_str(state)]).push(")");
        order = "p.state desc, p.number desc";
    }
    if let Some(author) = &filter.by {
        query.push(" and p.created_by = any(").push_bind(vec![author.clone()]).push(")");
        order = "p.created_by desc, p.number desc";
    }
    if let Some(key) = &filter.key {
        query.push(" and e.edits ? ").push_bind(key.clone());
    }
    query.push(" order by ").push(order).push(" limit ").push_bind(limit).push(")");
}

/// Appends the condition of open proposals that `person` can approve, and on whose current edition `person` has given no
/// verdict.
fn push_open(query: &mut QueryBuilder<Postgres>, person: &str) {
    query.push("p.state = 'open'");
    push_not_author(query, person);
    query.push(" and (select bool_or(brune_person(v.given_by) = brune_person(");
    query.push_bind(person.to_owned()).push(
        ")) from brune_proposal_verdict v where v.proposal = p.id and v.edition = p.edition) is not true",
    );
}

/// Appends the condition of unacknowledged emergencies that `person` can acknowledge.
fn push_emergencies(query: &mut QueryBuilder<Postgres>, person: &str) {
    query.push("p.bypassed_by is not null and not p.is_acknowledged");
    query.push(" and brune_person(p.bypassed_by) <> brune_person(");
    query.push_bind(person.to_owned()).push(")");
    push_not_author(query, person);
}

/// Appends the condition that `person` wrote no edition. An aggregate for each proposal: the server would turn
/// `not exists` into a join, which reads the editions of all proposals.
fn push_not_author(query: &mut QueryBuilder<Postgres>, person: &str) {
    query.push(" and (select bool_or(brune_person(w.written_by) = brune_person(");
    query.push_bind(person.to_owned());
    query.push(")) from brune_proposal_edition w where w.proposal = p.id) is not true");
}
