//! SQL of the stop of starts. A trigger numbers each event and writes the head.

use chrono::{DateTime, Utc};

use crate::{
    audit::Actor,
    database::Connection,
    sessions::stop::{StartsState, Stop},
};

/// The columns of the head about the stop; null without a stop in force.
pub(super) struct Row {
    epoch: i64,
    stopped_by: Option<String>,
    reason: Option<String>,
    stopped_at: Option<DateTime<Utc>>,
    stopped_until: Option<DateTime<Utc>>,
}

impl From<Row> for StartsState {
    fn from(row: Row) -> Self {
        let Row { epoch, stopped_by, reason, stopped_at, stopped_until } = row;
        let columns = stopped_by.zip(reason).zip(stopped_at.zip(stopped_until));
        let stopped = columns.map(|((stopped_by, reason), (stopped_at, stopped_until))| Stop {
            stopped_by,
            reason,
            stopped_at,
            stopped_until,
        });
        Self { epoch, stopped }
    }
}

/// Returns the state by the clock of the database.
pub(super) async fn find(conn: &mut Connection) -> sqlx::Result<Row> {
    // A left join, so that the head returns a row without a stop as well.
    sqlx::query_as!(
        Row,
        r#"
        select h.epoch, s.stopped_by as "stopped_by?", s.stopped_reason as "reason?", s.stopped_at as "stopped_at?",
          s.stopped_until as "stopped_until?"
        from app_global_setting_head h
        left join app_global_setting_head s on s.stopped_until > clock_timestamp()
        "#,
    )
    .fetch_one(conn)
    .await
}

/// Stops all starts for `minutes`. Returns the new state.
pub(super) async fn insert_stop(
    conn: &mut Connection,
    actor: &Actor,
    minutes: i64,
) -> sqlx::Result<Row> {
    sqlx::query_as!(
        Row,
        r#"
        insert into brune_starts_event (event, minutes, reason, made_by, request_id)
        values ('stopped', ($1::bigint)::integer, $2, $3, $4)
        returning epoch, made_by as "stopped_by?", reason as "reason?", made_at as "stopped_at?", until as stopped_until
        "#,
        minutes,
        actor.reason.as_str(),
        actor.user.as_str(),
        actor.request.as_str(),
    )
    .fetch_one(conn)
    .await
}

/// Ends the stop in force. Returns whether there was a stop.
pub(super) async fn insert_resumption(conn: &mut Connection, actor: &Actor) -> sqlx::Result<bool> {
    let result = sqlx::query!(
        "insert into brune_starts_event (event, reason, made_by, request_id) values ('resumed', $1, $2, $3)",
        actor.reason.as_str(),
        actor.user.as_str(),
        actor.request.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(result.rows_affected() > 0)
}
