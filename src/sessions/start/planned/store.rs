//! SQL of the inserts.

use chrono::TimeDelta;
use sqlx::postgres::PgQueryResult;
use uuid::Uuid;

use crate::{
    database::Connection,
    sessions::{
        session::Arm,
        start::planned::{Group, PlannedInsert},
    },
};

/// Inserts each of `inserts` if starts are not stopped, settings and epoch are current, and the user's history and the rate
/// limit allow the start; all in one statement, so in one state of the database. Returns the ids of the inserted sessions.
///
/// `inserts` must be able to [share](PlannedInsert::can_share) a statement: all rows see the state before the statement.
/// The statement does not return the obstacles; see [`diagnose`](crate::sessions::start::store::diagnose). A reused
/// idempotency key is an obstacle, as is a concurrent start of the user; neither fails the other rows.
pub(in crate::sessions::start) async fn insert_if_eligible(
    conn: &mut Connection,
    inserts: &[PlannedInsert],
) -> sqlx::Result<Vec<Uuid>> {
    match inserts {
        [] => Ok(Vec::new()),
        [insert] => insert_one(conn, insert).await,
        [first, ..] => insert_group(conn, &Group::new(first, inserts)).await,
    }
}

/// Inserts a single session. The conditions are those of [`insert_group`], which costs Postgres half as much again for
/// one row: arrays as parameters, a function scan, a sort, and a search in every unique index before the insert.
async fn insert_one(conn: &mut Connection, insert: &PlannedInsert) -> sqlx::Result<Vec<Uuid>> {
    let PlannedInsert { new_session, bounds, limit } = insert;
    let settings = &new_session.settings;
    let (idempotency_key, idempotency_digest) = new_session.idempotency();
    let (proposal, is_candidate, share_bp) = Arm::columns(new_session.arm.as_ref());
    let query = sqlx::query!(
        r#"
        -- All columns in the order of the table: otherwise the plan has one more node, to rearrange the columns.
        insert into brune_session (id, user_id, status, plan, level, started_at, expires_at, ended_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest, starting_until,
          provider_session_id, provider_request_id, ended_by, end_reason, attempted_at, proposal, candidate, share_bp,
          outcome)
        select $1, $2, case when $13 then 'starting' else 'active' end, $3, $4, $5::timestamptz, $6, null::timestamptz, $15,
          $7, $8, $9, $10, $11, $12, case when $13 then clock_timestamp() + interval '30 s' end,
          null::text, null::text, null::text, null::text, case when not $14 then clock_timestamp() end,
          $21, $22, $23, null::text
        -- For the reasons of the conditions see the statement for several rows.
        where (select revision from app_global_setting_head
            where epoch = $20 and coalesce(stopped_until <= clock_timestamp(), true)) = $15
          and (not $13 or set_config('synchronous_commit', 'off', true) = 'off')
          and coalesce((select least(ended_at, expires_at) <= $18 from brune_session
            where user_id = $2 and status <> 'failed' order by started_at desc limit 1), true)
          and (select count(*) filter (where status <> 'failed' and started_at >= $16) < $17
              and ($14 or $19 > count(*) filter (where attempted_at > clock_timestamp() - interval '1 minute')
                + coalesce((select cardinality(brune_within_a_minute(tried_at))
                  from brune_start_attempt where user_id = $2), 0))
            from brune_session where user_id = $2 and started_at >= least($16, $5::timestamptz - interval '1 hour'))
          and ($11::text is null or not exists (select from brune_session
            where user_id = $2 and idempotency_key = $11 and status <> 'failed'))
        -- Only the index of the common race is searched twice. A running session is such a conflict as well.
        on conflict (user_id) where status in ('starting', 'active') do nothing
        "#,
        new_session.id,
        new_session.user.id.as_str(),
        new_session.user.plan.as_deref(),
        new_session.user.level.as_deref(),
        new_session.started_at,
        new_session.expires_at,
        settings.prompt_id,
        settings.prompt_version,
        settings.model,
        settings.session_max_minutes,
        idempotency_key,
        idempotency_digest,
        new_session.in_two_steps,
        limit.counted,
        settings.revision,
        bounds.day_start,
        bounds.max_today,
        bounds.ended_by,
        limit.per_minute,
        new_session.epoch,
        proposal,
        is_candidate,
        share_bp,
    );
    inserted(new_session.id, query.execute(conn).await)
}

/// Returns `id` if the row was inserted.
fn inserted(id: Uuid, result: sqlx::Result<PgQueryResult>) -> sqlx::Result<Vec<Uuid>> {
    let is_unique_violation = |error: &sqlx::Error| {
        error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    };
    match result {
        Ok(result) => Ok((result.rows_affected() > 0).then_some(id).into_iter().collect()),
        // The key, or the id of an earlier attempt of the request, was committed after the statement began.
        Err(error) if is_unique_violation(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Inserts several sessions.
async fn insert_group(conn: &mut Connection, group: &Group<'_>) -> sqlx::Result<Vec<Uuid>> {
    let Group { first, columns, arms } = group;
    let query = sqlx::query_scalar!(
        r#"
        insert into brune_session (id, user_id, plan, level, started_at, expires_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest,
          status, starting_until, attempted_at, proposal, candidate, share_bp)
        select i.id, i.user_id, i.plan, i.level, i.started_at, i.started_at + ($19::interval[])[i.arm], head.revision,
          ($9::text[])[i.arm], ($10::text[])[i.arm], ($11::text[])[i.arm], ($12::integer[])[i.arm], i.key, i.digest,
          case when $13 then 'starting' else 'active' end, case when $13 then clock_timestamp() + interval '30 s' end,
          case when not $14 then clock_timestamp() end, $21, ($22::boolean[])[i.arm], $23
        from app_global_setting_head head, (
          select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
              $7::bytea[], $24::integer[]) as i(id, user_id, plan, level, started_at, key, digest, arm)
          -- Without a limit, the planner expects ten rows of unknown arrays, and plans each execution anew.
          limit cardinality($1)) i
        -- A crash may lose the first of two steps: only the second step is waited for on disk.
        where head.revision = $8 and head.epoch = $20 and (not $13 or set_config('synchronous_commit', 'off', true) = 'off')
          and coalesce(head.stopped_until <= clock_timestamp(), true)
          -- The cooldown. Sessions of a user do not overlap, so the last is the one that ended last.
          and coalesce((select least(ended_at, expires_at) <= i.started_at - ($17::interval[])[i.arm] from brune_session
            where user_id = i.user_id and status <> 'failed' order by started_at desc limit 1), true)
          -- The daily maximum and the limit per minute: a session is an attempt. The hour exceeds any difference of clocks.
          and (select count(*) filter (where status <> 'failed' and started_at >= $15) < ($16::bigint[])[i.arm]
              and ($14 or $18 > count(*) filter (where attempted_at > clock_timestamp() - interval '1 minute')
                + coalesce((select cardinality(brune_within_a_minute(tried_at))
                  from brune_start_attempt where user_id = i.user_id), 0))
            from brune_session where user_id = i.user_id and started_at >= least($15, i.started_at - interval '1 hour'))
        -- A row waits for a concurrent start of its user: with one order, two statements never wait for each other.
        order by i.user_id collate "C"
        -- A running session is a conflict, as are a concurrent start and a reused idempotency key.
        on conflict do nothing returning id
        "#,
        &columns.ids,
        &columns.user_ids as &[&str],
        &columns.plans as &[Option<&str>],
        &columns.levels as &[Option<&str>],
        &columns.started_at,
        &columns.idempotency_keys as &[Option<&str>],
        &columns.idempotency_digests as &[Option<&[u8]>],
        first.new_session.settings.revision,
        &arms.prompt_ids as &[&str],
        &arms.prompt_versions as &[&str],
        &arms.models as &[&str],
        &arms.session_max_minutes,
        first.new_session.in_two_steps,
        first.limit.counted,
        first.bounds.day_start,
        &arms.max_today,
        &arms.cooldowns as &[TimeDelta],
        first.limit.per_minute,
        &arms.durations as &[TimeDelta],
        first.new_session.epoch,
        arms.proposal,
        &arms.are_candidates as &[Option<bool>],
        arms.share_bp,
        &columns.arms,
    );
    query.fetch_all(conn).await
}
