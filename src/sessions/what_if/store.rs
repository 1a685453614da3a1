//! SQL of a what-if: the recorded attempts, and the settings of their revisions.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use uuid::Uuid;

use crate::{database::Connection, sessions::what_if::window::Window};

/// The attempts of a window.
pub(super) struct Extent {
    pub(super) attempts: i64,
    /// The oldest revision of an attempt; `None` without attempts.
    pub(super) oldest_revision: Option<i64>,
}

/// Counts the attempts of `window`.
pub(super) async fn extent(conn: &mut Connection, window: &Window) -> sqlx::Result<Extent> {
    sqlx::query_as!(
        Extent,
        r#"
        select count(*) as "attempts!", min(revision) as oldest_revision from (
          select settings_revision as revision from brune_session where started_at >= $1 and started_at < $2
          union all
          select revision from brune_start_refused where at >= $1 and at < $2) attempts
        "#,
        window.since,
        window.until,
    )
    .fetch_one(conn)
    .await
}

/// Returns the time of the `limit`th newest attempt of `window`.
pub(super) async fn time_of_nth_newest(
    conn: &mut Connection,
    window: &Window,
    limit: i64,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let time = sqlx::query_scalar!(
        r#"
        select at as "at!" from (
          select started_at as at from brune_session where started_at >= $1 and started_at < $2
          union all
          select at from brune_start_refused where at >= $1 and at < $2) attempts
        order by at desc offset $3::bigint - 1 limit 1
        "#,
        window.since,
        window.until,
        limit,
    );
    time.fetch_optional(conn).await
}

/// A value of a setting from a revision on; `None` after a deletion.
pub(super) struct RecordedValue {
    pub(super) key: String,
    pub(super) revision: i64,
    pub(super) value: Option<Value>,
}

/// Reads the values of `keys` since `oldest_revision`, by revision: of each key the value at that revision, and all later
/// ones.
pub(super) async fn recorded_values(
    conn: &mut Connection,
    keys: &[String],
    oldest_revision: i64,
) -> sqlx::Result<Vec<RecordedValue>> {
    sqlx::query_as!(
        RecordedValue,
        r#"
        select a.key as "key!", a.revision as "revision!", a.new_value_json as value
        from unnest($1::text[]) wanted (key)
        cross join lateral (
          (select key, revision, new_value_json, seq from app_global_setting_audit
            where key = wanted.key and revision <= $2 order by seq desc limit 1)
          union all
          select key, revision, new_value_json, seq from app_global_setting_audit
            where key = wanted.key and revision > $2) a
        order by a.revision, a.seq
        "#,
        keys,
        oldest_revision,
    )
    .fetch_all(conn)
    .await
}

/// A value of the candidate of a rollout; `None` if removed with a secret.
pub(super) struct CandidateValue {
    pub(super) proposal: Uuid,
    pub(super) key: String,
    pub(super) value: Option<Value>,
}

/// Reads the values of `keys` of all rollouts that have begun.
pub(super) async fn candidate_values(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<Vec<CandidateValue>> {
    // All rollouts instead of those of the window: rollouts are few, and the clocks of attempts and rollouts differ.
    sqlx::query_as!(
        CandidateValue,
        r#"
        select p.id as proposal, edit.key as "key!", edit.value -> 'value' as value
        from brune_proposal p
        join brune_proposal_edition e on e.proposal = p.id and e.edition = p.edition
        cross join jsonb_each(e.edits) edit
        where p.salt is not null and edit.key = any($1)
        "#,
        keys,
    )
    .fetch_all(conn)
    .await
}

/// A recorded attempt: a session, or a refusal.
pub(super) struct Row {
    pub(super) user_id: String,
    pub(super) plan: Option<String>,
    pub(super) level: Option<String>,
    pub(super) at: DateTime<Utc>,
    pub(super) revision: i64,
    /// The proposal of the rollout, if the attempt had the values of the candidate.
    pub(super) proposal: Option<Uuid>,
    /// The end of the session, or the current time while the session runs; `None` for a refusal and a failed start.
    pub(super) ended_at: Option<DateTime<Utc>>,
    /// The reasons of a refusal; `None` for a session.
    pub(super) codes: Option<Vec<String>>,
}

/// The number of rows after which other tasks of the thread run.
const ROWS_BETWEEN_YIELDS: u32 = 256;

/// Calls `handle` with each attempt of `window`, and with the earlier sessions that count for the attempts: the attempts
/// of a user follow each other in the order of time. The order of users is random, so that the first users are a sample.
/// Returns false if `handle` did, which ends the reading; then the connection cannot be used again.
pub(super) async fn for_each_attempt(
    conn: &mut Connection,
    window: &Window,
    mut handle: impl FnMut(Row) -> bool,
) -> sqlx::Result<bool> {
    // The number of rows depends on the window, so a generic plan would expect too few.
    conn.plan_each_time();
    let mut rows = sqlx::query_as!(
        Row,
        r#"
        select user_id as "user_id!", plan, level, at as "at!", revision as "revision!", proposal, ended_at, codes
        from (
          select user_id, plan, level, started_at as at, settings_revision as revision,
            case when candidate then proposal end as proposal,
            case when status = 'failed' or status = 'starting' and starting_until <= statement_timestamp() then null
              else greatest(started_at, least(coalesce(ended_at, $4), expires_at)) end as ended_at,
            null::text[] as codes
          from brune_session
          where started_at >= $5 and started_at < $2
            -- Of the sessions before the window, those that a rule can still count.
            and (started_at >= $1 or status <> 'failed' and
              (started_at >= $6 or least(coalesce(ended_at, $4), expires_at) > $3))
          union all
          select user_id, plan, level, at, revision, case when candidate then proposal end, null, codes
          from brune_start_refused where at >= $1 and at < $2
        ) attempts
        order by hashtextextended(user_id, 0), user_id collate "C", at
        "#,
        window.since,
        window.until,
        window.ended_since,
        window.now,
        window.read_since,
        window.day_start,
    )
    .fetch(conn);
    let mut count = 0_u32;
    while let Some(row) = rows.try_next().await? {
        if !handle(row) {
            return Ok(false);
        }
        count = count.wrapping_add(1);
        // A buffer of the driver has many rows, and every wait for a further buffer may be over at once.
        if count.is_multiple_of(ROWS_BETWEEN_YIELDS) {
            tokio::task::yield_now().await;
        }
    }
    Ok(true)
}
