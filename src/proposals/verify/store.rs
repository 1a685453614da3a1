//! SQL of the verification. Postgres joins the trail with the records, so the memory of this process is bounded.

use crate::database::Connection;

/// The content of an edition, as printed by `jsonb`.
pub(super) struct Content {
    pub(super) proposal: i64,
    pub(super) edition: i32,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) edits: String,
    pub(super) plan: String,
    pub(super) reason: String,
    pub(super) digest: Vec<u8>,
    pub(super) is_redacted: bool,
    /// Whether the trail has a cleanup of each redacted key.
    pub(super) is_cleanup_recorded: bool,
}

/// Returns up to `limit` editions after `(proposal, edition)`.
pub(super) async fn contents(
    conn: &mut Connection,
    (proposal, edition): (i64, i32),
    limit: i64,
) -> sqlx::Result<Vec<Content>> {
    sqlx::query_as!(
        Content,
        r#"
        select p.number as proposal, e.edition, e.salt, e.edits::text as "edits!", e.plan::text as "plan!", e.reason,
          e.digest, e.edits @? '$.*.redacted' as "is_redacted!",
          not exists (
            select from jsonb_each(e.edits) edit
            where edit.value ? 'redacted' and not exists (
              select from app_global_setting_audit a where a.key = edit.key and a.action = 'secret_cleanup')
          ) as "is_cleanup_recorded!"
        from brune_proposal p join brune_proposal_edition e on e.proposal = p.id
        where (p.number, e.edition) > ($1, $2)
        order by p.number, e.edition limit $3
        "#,
        proposal,
        edition,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// A difference between the trail and the records.
pub(super) struct Difference {
    pub(super) proposal: i64,
    pub(super) edition: i32,
    pub(super) event: String,
    pub(super) person: String,
    /// Whether the trail has the decision more often than the records.
    pub(super) is_recorded: bool,
}

/// Returns up to 100 decisions that the trail and the records of proposals have in different numbers.
pub(super) async fn differences(conn: &mut Connection) -> sqlx::Result<Vec<Difference>> {
    // A proposal that failed can be opened again or withdrawn: its record has the last end only.
    sqlx::query_as!(
        Difference,
        r#"
        with entries as (
          select seq, (new_value_json ->> 'proposal')::bigint as proposal,
            (new_value_json ->> 'edition')::integer as edition, new_value_json ->> 'event' as event,
            new_value_json ->> 'digest' as digest, changed_by as person, new_value_json as details
          from app_global_setting_audit where key = '(proposal)' and action = 'decision'
        ), comparable as (
          select proposal, edition, event, digest, person from entries
          where event not in ('rolling', 'widened', 'held', 'resumed')
          union all
          -- The record of a rollout has the last step only. A step at another stage or share is another step.
          (select distinct on (proposal) proposal, edition, event,
            concat_ws(':', digest, details ->> 'stage', details ->> 'share_bp', details ->> 'held_reason'), person
          from entries where event in ('rolling', 'widened', 'held', 'resumed') order by proposal, seq desc)
        ), decisions as (
          select proposal, edition, event, digest, person, count(*) as number from comparable group by 1, 2, 3, 4, 5
        ), current as (
          select p.number as proposal, e.edition, 'written' as event, encode(e.digest, 'hex') as digest,
            e.written_by as person
          from brune_proposal_edition e join brune_proposal p on p.id = e.proposal
          union all
          select p.number, v.edition, v.verdict, encode(v.digest, 'hex'), v.given_by
          from brune_proposal_verdict v join brune_proposal p on p.id = v.proposal
          union all
          select p.number, p.edition, case when p.bypassed_by is null then p.state else 'bypassed' end,
            encode(e.digest, 'hex'), p.ended_by
          from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
          where p.state not in ('open', 'rolling')
          union all
          select p.number, p.edition,
            case when p.held_reason is not null then 'held' when p.resumed_at > p.stage_since then 'resumed'
              when p.stage > 1 then 'widened' else 'rolling' end,
            concat_ws(':', encode(e.digest, 'hex'), p.stage, p.share_bp, p.held_reason), p.step_by
          from brune_proposal p join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
          where p.salt is not null
        ), records as (
          select proposal, edition, event, digest, person, count(*) as number from current group by 1, 2, 3, 4, 5
        )
        select coalesce(proposal, 0) as "proposal!", coalesce(edition, 0) as "edition!", coalesce(event, '') as "event!",
          coalesce(person, '') as "person!", coalesce(d.number, 0) > coalesce(r.number, 0) as "is_recorded!"
        from decisions d full join records r using (proposal, edition, event, digest, person)
        where d.number is distinct from r.number and not (event in ('failed', 'withdrawn') and r.number is null)
        order by proposal, edition, event, person limit 100
        "#,
    )
    .fetch_all(conn)
    .await
}

/// The numbers of changes of protected settings.
pub(super) struct Counts {
    pub(super) changes: i64,
    pub(super) emergencies: i64,
    pub(super) unacknowledged: i64,
}

/// Counts the changes of protected settings, and emergencies without an acknowledgement.
pub(super) async fn counts(conn: &mut Connection) -> sqlx::Result<Counts> {
    sqlx::query_as!(
        Counts,
        r#"
        select count(*) as "changes!", count(p.bypassed_by) as "emergencies!",
          (select count(*) from brune_proposal where bypassed_by is not null and not is_acknowledged) as "unacknowledged!"
        from app_global_setting_audit a
        join app_global_setting_schema d on d.key = a.key and d.approvals > 0 and a.revision > d.protected_since
        left join brune_proposal p on p.applied_revision = a.revision
        "#,
    )
    .fetch_one(conn)
    .await
}

/// A change of a protected setting that the decisions of the trail do not permit.
pub(super) struct UnsupportedChange {
    pub(super) entry: i64,
    pub(super) key: String,
    pub(super) revision: i64,
    /// The proposal of the revision, if any.
    pub(super) proposal: Option<i64>,
    pub(super) is_same_value: bool,
    pub(super) approvals: i64,
    pub(super) objections: i64,
    pub(super) needed: i64,
}

/// Returns up to 100 changes of protected settings since their protection that the decisions of the trail do not permit.
pub(super) async fn unsupported_changes(
    conn: &mut Connection,
) -> sqlx::Result<Vec<UnsupportedChange>> {
    // By the entries of the trail, which are chained, and not by the verdicts. The first value of a setting is free.
    sqlx::query_as!(
        UnsupportedChange,
        r#"
        with decisions as materialized (
          select seq, (new_value_json ->> 'proposal')::bigint as proposal,
            (new_value_json ->> 'edition')::integer as edition, new_value_json ->> 'event' as event,
            new_value_json ->> 'digest' as digest, brune_person(changed_by) as person,
            (new_value_json ->> 'revision')::bigint as revision
          from app_global_setting_audit where key = '(proposal)' and action = 'decision'
        ), applications as (
          select * from decisions where event in ('applied', 'bypassed')
        ), authors as (
          select distinct proposal, person from decisions where event = 'written'
        ), verdicts as (
          select distinct on (a.seq, v.person) a.seq, v.event, w.person is not null as is_author
          from applications a
          join decisions v on v.proposal = a.proposal and v.edition = a.edition and v.digest = a.digest
            and v.event in ('approve', 'object') and v.seq < a.seq
          left join authors w on w.proposal = v.proposal and w.person = v.person
          order by a.seq, v.person, v.seq desc
        ), standings as (
          select seq, count(*) filter (where event = 'approve' and not is_author) as approvals,
            count(*) filter (where event = 'object') as objections
          from verdicts group by seq
        ), changes as (
          select a.seq, a.key, a.revision, a.new_value_json, a.salt,
            case when a.revision > d.approvals_since then d.approvals else 1 end as needed
          from app_global_setting_audit a
          join app_global_setting_schema d on d.key = a.key and d.approvals > 0 and a.revision > d.protected_since
          where a.version is distinct from 1 and (
            select earlier.version is not null from app_global_setting_audit earlier
            where earlier.key = a.key and earlier.seq < a.seq and earlier.action <> 'refused'
            order by earlier.seq desc limit 1)
        ), checked as (
          select c.seq, c.key, c.revision, a.proposal, a.event, c.needed,
            coalesce(s.approvals, 0) as approvals, coalesce(s.objections, 0) as objections,
            coalesce(c.salt is null or (e.edits -> c.key) ? 'redacted'
              or e.edits -> c.key -> 'value' = c.new_value_json, false) as is_same_value
          from changes c
          left join applications a on a.revision = c.revision
          left join standings s on s.seq = a.seq
          left join brune_proposal p on p.number = a.proposal
          left join brune_proposal_edition e on e.proposal = p.id and e.edition = a.edition
        )
        select seq as "entry!", key as "key!", revision as "revision!", proposal as "proposal?",
          is_same_value as "is_same_value!", approvals as "approvals!", objections as "objections!",
          needed::bigint as "needed!"
        from checked
        where proposal is null or not is_same_value
          or event = 'applied' and (approvals < needed or objections > 0)
        order by seq limit 100
        "#,
    )
    .fetch_all(conn)
    .await
}
