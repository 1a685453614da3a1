//! SQL of a change in one statement.

use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit::{Action, Actor},
    database::Connection,
    idempotency::StoredResult,
    settings::entry::StoredSetting,
};

/// The number of rows from which on a statement gets a custom plan, and returns a single row.
const MANY_ROWS: usize = 100;

/// A change, and the state of the database that the change requires.
pub(super) struct Statement<'a> {
    /// The expected revision.
    pub(super) revision: i64,
    /// The expected revision of the catalog.
    pub(super) catalog_revision: i64,
    /// The expected timeline of the server.
    pub(super) timeline: &'a str,
    pub(super) action: Action,
    pub(super) actor: &'a Actor,
    pub(super) rows: Vec<ExpectedRow<'a>>,
    /// The result for a repeat with the same idempotency key.
    pub(super) stored_result: Option<StoredResult>,
    pub(super) message: Option<Message>,
    /// Whether the caller waits until every instance has applied the change.
    pub(super) is_awaited: bool,
}

/// A setting with its expected version.
pub(super) struct ExpectedRow<'a> {
    pub(super) key: &'a str,
    pub(super) version: i32,
    /// `None` for a setting that is only compared.
    pub(super) new: Option<NewValue>,
}

/// A new value.
pub(super) struct NewValue {
    /// The id of the audit entry.
    pub(super) entry: Uuid,
    pub(super) value: Value,
}

/// A message to other services.
pub(super) struct Message {
    pub(super) id: Uuid,
    pub(super) sinks: Vec<String>,
    pub(super) topic: &'static str,
    pub(super) payload: Value,
}

/// The rows of a statement as arrays.
struct Columns<'a> {
    keys: Vec<String>,
    versions: Vec<i32>,
    values: Vec<Option<&'a Value>>,
    entries: Vec<Option<Uuid>>,
    count: i64,
    /// The number of rows that the statement returns.
    returned: i64,
}

impl<'a> Columns<'a> {
    fn new(rows: &'a [ExpectedRow<'_>]) -> Self {
        let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        Self {
            keys: rows.iter().map(|row| row.key.to_owned()).collect(),
            versions: rows.iter().map(|row| row.version).collect(),
            values: rows.iter().map(|row| row.new.as_ref().map(|new| &new.value)).collect(),
            entries: rows.iter().map(|row| row.new.as_ref().map(|new| new.entry)).collect(),
            count,
            returned: if rows.len() < MANY_ROWS { count } else { 1 },
        }
    }
}

/// Stores a change if the database is in the expected state. Returns the changed settings as stored; of many settings
/// only one, and none if nothing was stored.
pub(super) async fn write_at_revision(
    conn: &mut Connection,
    statement: &Statement<'_>,
) -> sqlx::Result<Vec<StoredSetting>> {
    if statement.rows.len() >= MANY_ROWS {
        // The generic plan looks up each setting separately.
        conn.plan_each_time();
    }
    write_columns(conn, statement, &Columns::new(&statement.rows)).await
}

/// Tells the trigger that writes the notification that the caller waits for all instances.
pub(in crate::settings) async fn announce_waiter(conn: &mut Connection) -> sqlx::Result<()> {
    sqlx::query!("select set_config('brune.is_awaited', 'true', true)").fetch_one(conn).await?;
    Ok(())
}

/// [`write_at_revision`] for `columns`, the rows of `statement`.
///
/// The head is compared again when locked, and no setting changes without a new revision of the head. A locked head is
/// skipped: the steps under the lock wait for the head, so that no writer waits twice. During a rollout the steps under the
/// lock compare the change with the rollout; a rollout that began while the statement ran has changed the epoch. An
/// idempotency key that already has a result fails the statement. `limit $20` tells the planner to expect few rows, so
/// that one plan is kept for all small changes.
async fn write_columns(
    conn: &mut Connection,
    statement: &Statement<'_>,
    columns: &Columns<'_>,
) -> sqlx::Result<Vec<StoredSetting>> {
    let result = statement.stored_result.as_ref();
    let message = statement.message.as_ref();
    sqlx::query_as!(
        StoredSetting,
        r#"
        with expected (key, version, value_json, id, position) as materialized (
          select * from unnest($1::text[], $2::integer[], $3::jsonb[], $4::uuid[]) with ordinality limit $20
        ), compared as materialized (select expected.*, s.value_json as old_value_json
          from expected join app_global_settings s on s.key = expected.key and s.version = expected.version
        ), head as materialized (select set_config('brune.is_awaited', $22::boolean::text, true) from app_global_setting_head
          where revision = $5 and catalog_revision = $6 and substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) = $7
            and (select count(*) from compared) = $20 and epoch = (select epoch from app_global_setting_head)
            and not exists (select from brune_proposal where state = 'rolling') for update skip locked
        ), updated as (update app_global_settings s set value_json = c.value_json, version = c.version + 1, updated_by = $8
          from compared c, head where s.key = c.key and c.value_json is not null
          returning c.position, c.id, s.key, c.old_value_json, s.value_json, s.version, s.updated_by, s.updated_at
        ), entries as (insert into app_global_setting_audit
            (id, key, action, old_value_json, new_value_json, version, changed_by, reason, request_id)
          select id, key, $9, old_value_json, value_json, version, $8, $10, $11 from updated order by position
        ), result as (insert into app_idempotency_key (caller, key, fingerprint, body)
          select $12, $13, $14, $15 from head where $13::text is not null
        ), expired as (delete from app_idempotency_key where $13 is not null and exists (select from head) and (caller, key) in (
            select caller, key from app_idempotency_key where created_at < now() - interval '24 hours'
            order by created_at limit 10 for update skip locked)
        ), messages as (insert into brune_outbox (id, sink, topic, payload)
          select $16, sink, $17, $18 from head, unnest($19::text[]) sink)
        select key as "key!", value_json as "value?", version as "version?", updated_by as "updated_by?",
          updated_at as "updated_at?" from updated limit $21
        "#,
        &columns.keys,
        &columns.versions,
        &columns.values as _,
        &columns.entries as _,
        statement.revision,
        statement.catalog_revision,
        statement.timeline,
        statement.actor.user.as_str(),
        statement.action.as_str(),
        statement.actor.reason.as_str(),
        statement.actor.request.as_str(),
        result.map(|result| result.caller.as_str()),
        result.map(|result| result.key.as_str()),
        result.map(|result| result.fingerprint.as_slice()),
        result.map(|result| result.body.as_str()),
        message.map(|message| message.id),
        message.map(|message| message.topic),
        message.map(|message| &message.payload),
        message.map_or(&[][..], |message| &message.sinks),
        columns.count,
        columns.returned,
        statement.is_awaited,
    )
    .fetch_all(conn)
    .await
}
