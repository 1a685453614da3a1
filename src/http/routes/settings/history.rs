//! Reading the trail.

use axum::extract::State;
use uuid::Uuid;

use crate::{
    audit::{self, Action, Cursor, Filter},
    database::{self, Pool, TransactionError},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::{Code, Problem},
        request::{fields::NUMBERS, path::PathSegment, query::Query},
        response::JsonResponse,
    },
    secret_scanner::SecretScanner,
    settings::GlobalSettingsService,
};

problems! {
    HistoryProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, Internal, Unavailable
}

/// Who changed what, when and why; newest first.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history",
    operation_id = "listHistory",
    tag = "settings",
    params(
        ("key" = Option<String>, Query, description = "Of this key; 404 if it is not declared and never was on the trail"),
        ("changed_by" = Option<String>, Query, description = "By this person"),
        ("action" = Option<String>, Query, description = "`seed`, `import`, `update`, `reset`, `rollback`, `refused` or `secret_cleanup`"),
        ("request_id" = Option<String>, Query, description = "In this request"),
        ("revision" = Option<i64>, Query, description = "Of this change set"),
        ("since" = Option<String>, Query, description = "Not before this RFC 3339 time"),
        ("until" = Option<String>, Query, description = "Not after this RFC 3339 time"),
        ("limit" = Option<i64>, Query, description = "1 to 200, 50 when left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses(
        (status = 200, description = "A page", body = audit::Page),
        HistoryProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn history(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    read_trail(&pool, &settings, &scanner, query).await
}

/// A page of the trail, as the query asks for it.
pub(in crate::http) async fn read_trail(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    query: Query,
) -> Result<JsonResponse, Problem> {
    let (filter, cursor, limit) = read_history(query)?;
    require_known_key(pool, settings, scanner, &filter).await?;
    let page = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(audit::page(conn, &filter, cursor, limit).await?)
    });
    JsonResponse::ok(&page.await?)
}

/// Refuses a filter on a key that is neither declared nor on the trail: an empty page would read as "never changed".
async fn require_known_key(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    filter: &Filter,
) -> Result<(), Problem> {
    let Some(key) = filter.key.as_deref() else { return Ok(()) };
    if settings.current().schema.find(key).is_some() {
        return Ok(());
    }
    let of_key = Filter { key: Some(key.to_owned()), ..Filter::default() };
    let page = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(audit::page(conn, &of_key, None, 1).await?)
    });
    if !page.await?.entries.is_empty() {
        return Ok(());
    }
    let is_secret_like = scanner.scan(key).is_some();
    let name = if is_secret_like { "of this name" } else { key };
    Err(Problem::new(
        Code::UnknownKey,
        format!("unknown setting {name}: not declared and not in the audit trail"),
    ))
}

fn read_history(mut query: Query) -> Result<(Filter, Option<Cursor>, u16), Problem> {
    let filter = read_filter(&mut query);
    let (cursor, limit) = query.page(|text| Cursor::parse(text, &filter));
    query.finish()?;
    Ok((filter, cursor, limit))
}

fn read_filter(query: &mut Query) -> Filter {
    let action = query.choice("action", &Action::ALL.map(Action::as_str));
    Filter {
        key: query.text("key"),
        changed_by: query.text("changed_by"),
        action: action.and_then(Action::parse),
        request_id: query.text("request_id"),
        revision: query.integer("revision", NUMBERS),
        since: query.time("since"),
        until: query.time("until"),
    }
}

problems! {
    EntryProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// One entry of the trail.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history/{id}",
    operation_id = "getHistoryEntry",
    tag = "settings",
    params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The entry", body = audit::Entry), EntryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn entry(
    _: SuperAdmin,
    State(pool): State<Pool>,
    PathSegment(id): PathSegment,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let none = || Problem::not_found("the trail has no entry of that id");
    let id = Uuid::parse_str(&id).map_err(|_| none())?;
    let found = database::read_with_retry(&pool, async |conn| {
        Ok::<_, TransactionError>(audit::find(conn, id).await?)
    });
    JsonResponse::ok(&found.await?.ok_or_else(none)?)
}

/// How many entries of the trail were written when; with the filters of the history.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history/timeline",
    operation_id = "getHistoryTimeline",
    tag = "settings",
    params(
        ("key" = Option<String>, Query, description = "Of this key; 404 if it is not declared and never was on the trail"),
        ("changed_by" = Option<String>, Query, description = "By this person"),
        ("action" = Option<String>, Query, description = "`seed`, `import`, `update`, `reset`, `rollback`, `refused` or `secret_cleanup`"),
        ("request_id" = Option<String>, Query, description = "In this request"),
        ("revision" = Option<i64>, Query, description = "Of this change set"),
        ("since" = Option<String>, Query, description = "From this RFC 3339 time on; from the oldest entry that fits when left out"),
        ("until" = Option<String>, Query, description = "Up to this RFC 3339 time; up to now when left out"),
    ),
    responses((status = 200, description = "The counts", body = audit::Timeline), HistoryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn timeline(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    mut query: Query,
) -> Result<JsonResponse, Problem> {
    let filter = read_filter(&mut query);
    query.finish()?;
    require_known_key(&pool, &settings, &scanner, &filter).await?;
    let counted = database::read_with_retry(&pool, async |conn| {
        Ok::<_, TransactionError>(audit::timeline(conn, &filter).await?)
    });
    JsonResponse::ok(&counted.await?)
}
