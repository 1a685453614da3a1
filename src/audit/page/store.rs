//! SQL of pages and counts of the audit trail.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

use crate::{
    audit::{
        entry::{Action, Filter},
        store::Row,
    },
    database::Connection,
};

/// The two parts of the trail for filters of a key and a person or an action: the indexes of these pairs omit the first
/// hundred versions of each key, which the index by version finds. Otherwise every entry of an import into ten thousand
/// keys would be written to two more places of two more indexes.
const PARTS_OF_A_KEY: [&str; 2] = ["coalesce(version, 101) > 100", "version <= 100"];

/// The trail as a whole.
const WHOLE_TRAIL: [&str; 1] = ["true"];

/// The entries to read from each part of the trail.
#[derive(Clone, Copy)]
enum Extent {
    /// The newest entries, up to this number.
    Newest(i64),
    /// The oldest entry.
    Oldest,
    /// All entries.
    All,
}

/// Returns up to `limit` entries that match `filter`, older than `before`, newest first. Omits values that an older
/// release stored for keys declared secret since.
pub(in crate::audit) async fn page(
    conn: &mut Connection,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select seq, id, revision, key, action, version, changed_by, reason, request_id, changed_at, \
         case when is_visible then old_value_json end as old_value_json, \
         case when is_visible then new_value_json end as new_value_json from (",
    );
    push_matching(&mut query, filter, before, Extent::Newest(limit));
    query.push(
        ") a, lateral (select not exists ( \
           select from app_global_setting_schema d where d.key = a.key and d.kind = 'secret' \
         ) as is_visible) visibility order by seq desc limit ",
    );
    query.push_bind(limit);
    query.build_query_as().fetch_all(conn).await
}

/// Returns the time of the oldest entry that matches `filter`, and the database's time.
pub(in crate::audit) async fn since(
    conn: &mut Connection,
    filter: &Filter,
) -> sqlx::Result<(Option<DateTime<Utc>>, DateTime<Utc>)> {
    let mut query = QueryBuilder::<Postgres>::new("select (select changed_at from (");
    push_matching(&mut query, filter, None, Extent::Oldest);
    query.push(") a order by seq limit 1), clock_timestamp()");
    query.build_query_as().fetch_one(conn).await
}

/// Counts the entries that match `filter` by time, in buckets of `step` seconds, and by action; unordered.
pub(in crate::audit) async fn counts(
    conn: &mut Connection,
    filter: &Filter,
    step: i64,
) -> sqlx::Result<Vec<(DateTime<Utc>, String, i64)>> {
    let mut query = QueryBuilder::<Postgres>::new("select date_bin(interval '1 s' * ");
    query.push_bind(step).push(", changed_at, 'epoch') as start, action, count(*) from (");
    push_matching(&mut query, filter, None, Extent::All);
    query.push(") a group by 1, 2");
    query.build_query_as().fetch_all(conn).await
}

/// Appends a query of the entries that match `filter`, older than `before`. The query has only the conditions in use, so
/// that each filter uses its own index.
fn push_matching(
    query: &mut QueryBuilder<Postgres>,
    filter: &Filter,
    before: Option<i64>,
    extent: Extent,
) {
    let is_pair = filter.key.is_some() && (filter.changed_by.is_some() || filter.action.is_some());
    let is_selective = filter.revision.is_some() || filter.request_id.is_some();
    let parts: &[&str] = if is_pair && !is_selective { &PARTS_OF_A_KEY } else { &WHOLE_TRAIL };
    for (index, part) in parts.iter().enumerate() {
        query.push(if index == 0 { "(" } else { " union all (" });
        query.push("select * from app_global_setting_audit where ").push(part);
        if let Some(before) = before {
            query.push(" and seq < ").push_bind(before);
        }
        let columns = push_conditions(query, filter);
        push_extent(query, &columns, extent);
        query.push(")");
    }
}

/// Appends the conditions of `filter`. Returns the columns to sort by before `seq`, as [`push_extent`] explains.
fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &Filter) -> Vec<&'static str> {
    let texts = [
        ("request_id", filter.request_id.as_deref()),
        ("key", filter.key.as_deref()),
        ("changed_by", filter.changed_by.as_deref()),
        ("action", filter.action.map(Action::as_str)),
    ];
    let mut columns = Vec::new();
    if let Some(revision) = filter.revision {
        query.push(" and revision = any(").push_bind(vec![revision]).push(")");
        columns.push("revision");
    }
    // Values are bound, never part of the text.
    for (column, text) in texts {
        let Some(text) = text else { continue };
        query.push(" and ").push(column);
        match *columns {
            [] => {
                query.push(" = any(").push_bind(vec![text]).push(")");
                columns.push(column);
            }
            ["changed_by"] if column == "action" => {
                query.push(" between ").push_bind(text).push(" and ").push_bind(text);
                columns.push(column);
            }
            _ => drop(query.push(" = ").push_bind(text)),
        }
    }
    // Times grow with `seq`, so a time limit becomes a limit of `seq`, the order of the page.
    if let Some(since) = filter.since {
        query.push(
            " and seq >= coalesce((select seq from app_global_setting_audit where changed_at >= ",
        );
        // Without a late enough entry, the default excludes every row.
        query.push_bind(since).push(" order by changed_at, seq limit 1), 9223372036854775807)");
    }
    if let Some(until) = filter.until {
        query.push(
            " and seq <= coalesce((select seq from app_global_setting_audit where changed_at <= ",
        );
        // Without an early enough entry, the default excludes every row.
        query.push_bind(until).push(" order by changed_at desc, seq desc limit 1), 0)");
    }
    columns
}

/// Appends order and limit of a part of the trail whose conditions are on `columns`, and perhaps on others.
///
/// Sorts by the columns, too, and the first condition is `= any` with one element instead of `=`, which Postgres would
/// remove from the order. Otherwise Postgres reads the trail from its end and filters, because the planner assumes that
/// common values are spread evenly: half a second for a million entries if no entry matches. For the same reason an action
/// of a person is a range of one action: only the index of both has the order. Otherwise Postgres may read all entries of
/// the person, in a fifth of a second.
fn push_extent(query: &mut QueryBuilder<Postgres>, columns: &[&'static str], extent: Extent) {
    let (direction, limit) = match extent {
        Extent::Newest(limit) => (" desc", limit),
        Extent::Oldest => ("", 1),
        Extent::All => return,
    };
    query.push(" order by ");
    for &column in columns {
        query.push(column).push(direction).push(", ");
    }
    query.push("seq").push(direction).push(" limit ").push_bind(limit);
}
