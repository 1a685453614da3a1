//! Reading the audit trail.

use axum::extract::State;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit::{self, Action, Cursor, Filter},
    database::{self, Pool},
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::{Code, Problem},
        request::{
            page::PageParameters,
            path::PathSegment,
            query::{NoParameters, Query, query},
            value::{MAX_INTEGER, choices},
        },
        response::JsonResponse,
    },
    secret_scanner::SecretScanner,
    settings::GlobalSettingsService,
};

choices! {
    Action: Action::ALL.map(|action| (action.as_str(), action));
}

query! {
    /// The entries of the audit trail to read.
    struct TrailParameters {
        /// The setting; 404 if the key is neither declared nor in the trail
        key: Option<String>,
        /// The author
        changed_by: Option<String>,
        /// The kind of change
        action: Option<Action>,
        /// The request
        request_id: Option<String>,
        /// The revision of the change
        #[validate(range(min = 1, max = MAX_INTEGER))]
        revision: Option<i64>,
        /// The start, an RFC 3339 time
        since: Option<DateTime<Utc>>,
        /// The end, an RFC 3339 time
        until: Option<DateTime<Utc>>,
    }
}

impl From<TrailParameters> for Filter {
    fn from(parameters: TrailParameters) -> Self {
        let TrailParameters { key, changed_by, action, request_id, revision, since, until } =
            parameters;
        Self { key, changed_by, action, request_id, revision, since, until }
    }
}

query! {
    /// A page of the audit trail.
    struct TrailPageParameters {
        /// The entries
        filter: TrailParameters,
        /// The page
        page: PageParameters,
    }
}

problems! {
    HistoryProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, Internal, Unavailable
}

/// Changes with author, time and reason; newest first.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history",
    operation_id = "listHistory",
    tag = "settings",
    params(TrailPageParameters),
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
    Query(parameters): Query<TrailPageParameters>,
) -> Result<JsonResponse, Problem> {
    read_trail(&pool, &settings, &scanner, parameters).await
}

/// Returns a page of the trail.
pub(in crate::http) async fn read_trail(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    parameters: TrailPageParameters,
) -> Result<JsonResponse, Problem> {
    let TrailPageParameters { filter, page } = parameters;
    let filter = Filter::from(filter);
    // A cursor is bound to the filter, so the filter is read first.
    let cursor = page.cursor(|text| Cursor::decode(text, &filter))?;
    require_known_key(pool, settings, scanner, &filter).await?;
    let page = database::read_with_retry(pool, async |conn| {
        audit::page(conn, &filter, cursor, page.limit).await
    });
    JsonResponse::ok(&page.await?)
}

/// Refuses a filter on a key neither declared nor on the trail: an empty page would read as "never changed".
async fn require_known_key(
    pool: &Pool,
    settings: &GlobalSettingsService,
    scanner: &SecretScanner,
    filter: &Filter,
) -> Result<(), Problem> {
    let Some(key) = filter.key.as_deref() else { return Ok(()) };
    // The catalog is in memory, so most requests need no further query.
    if settings.current().schema.find(key).is_some() {
        return Ok(());
    }
    // Without the other filters: a known key may have no entry within the filters.
    let of_key = Filter { key: Some(key.to_owned()), ..Filter::default() };
    let page =
        database::read_with_retry(pool, async |conn| audit::page(conn, &of_key, None, 1).await);
    if !page.await?.entries.is_empty() {
        return Ok(());
    }
    // A secret pasted as a key must not come back in the response.
    let is_secret_like = scanner.scan(key).is_some();
    let name = if is_secret_like { "of this name" } else { key };
    Err(Problem::new(
        Code::UnknownKey,
        format!("unknown setting {name}: not declared and not in the audit trail"),
    ))
}

problems! {
    EntryProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// An entry of the trail.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history/{id}",
    operation_id = "getHistoryEntry",
    tag = "settings",
    params(("id" = uuid::Uuid, Path, description = "The entry")),
    responses((status = 200, description = "The entry", body = audit::Entry), EntryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn entry(
    _: SuperAdmin,
    State(pool): State<Pool>,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let not_found = || Problem::not_found("the audit trail has no entry with this id");
    // A malformed id is a 404 like an unknown id: clients handle a single case.
    let id = Uuid::parse_str(&id).map_err(|_| not_found())?;
    let entry = database::read_with_retry(&pool, async |conn| audit::find(conn, id).await);
    JsonResponse::ok(&entry.await?.ok_or_else(not_found)?)
}

/// How many entries of the trail were written when; with the filters of the history.
#[utoipa::path(
    get,
    path = "/admin/global-settings/history/timeline",
    operation_id = "getHistoryTimeline",
    tag = "settings",
    params(TrailParameters),
    responses((status = 200, description = "The counts", body = audit::Timeline), HistoryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn timeline(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    Query(parameters): Query<TrailParameters>,
) -> Result<JsonResponse, Problem> {
    let filter = Filter::from(parameters);
    require_known_key(&pool, &settings, &scanner, &filter).await?;
    let timeline =
        database::read_with_retry(&pool, async |conn| audit::timeline(conn, &filter).await);
    JsonResponse::ok(&timeline.await?)
}
