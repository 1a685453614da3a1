//! `/ofrep/v1`: settings for services in any language, by the `OpenFeature` Remote Evaluation Protocol 0.3.
//!
//! Answers come from memory, whether or not the database is there. A value depends on nothing that is sent, so
//! its reason is always `STATIC`. What goes wrong has the protocol's form here, not that of a problem.

mod cors;
mod events;
mod page;
mod refusal;
mod request;

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

pub use cors::Origins;
pub(in crate::http) use cors::with_cors;
pub(in crate::http) use events::*;
pub(in crate::http) use page::EVENTS;
pub use page::Ofrep;
pub(in crate::http) use refusal::{Refusal, problem_format};

use crate::{
    clock::Clock,
    http::{
        auth::Reader,
        problem::{Code, Problem},
        request::{
            body::JsonBytes,
            path::PathSegment,
            preconditions::{self, ReadOutcome},
            query::Query,
        },
        response::JsonResponse,
        routes::ofrep::page::{Flag, FlagList, Page},
    },
    settings::{GlobalSettingsService, KeyClass},
};

/// How long to wait for a revision that another instance has told of.
const BEHIND: Duration = Duration::from_secs(1);

/// Asks for lists as objects, for clients that take no other structure.
const LISTS: HeaderName = HeaderName::from_static("x-brune-lists");

/// One setting, as a flag.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags/{key}",
    operation_id = "evaluateFlag",
    tag = "ofrep",
    params(
        ("key" = String, Path, description = "Its key"),
        ("X-Brune-Lists" = Option<String>, Header, description = "`items` has lists as `{\"items\": […]}`, for clients that take only objects"),
    ),
    request_body(content = Option<Object>, description = "`{\"context\": {…}}`; a value does not depend on it"),
    responses(
        (status = 200, description = "Its value; `reason` is `STATIC`, `variant` its version", body = Flag<'_>),
        (status = 400, description = "`PARSE_ERROR` or `INVALID_CONTEXT`", body = Refusal),
        (status = 401, description = "No valid credentials", body = Refusal),
        (status = 404, description = "`FLAG_NOT_FOUND`; of a key that is locked or secret as well", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn evaluate(
    _: Reader,
    State(settings): State<GlobalSettingsService>,
    PathSegment(key): PathSegment,
    headers: HeaderMap,
    query: Query,
    JsonBytes(body): JsonBytes,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    request::check(body.as_deref())?;
    let (snapshot, stale) = (settings.current(), page::is_stale(&settings));
    let found = match snapshot.schema.classify(&key) {
        KeyClass::Editable(definition) => snapshot.find(&key).map(|entry| (definition, entry)),
        // Of a key that is not told here not even its existence is.
        KeyClass::Locked(_) | KeyClass::Unknown => None,
    };
    let none = || Problem::new(Code::UnknownKey, "there is no such flag");
    let (definition, entry) = found.ok_or_else(none)?;
    let wrapped = headers.get(LISTS).is_some_and(|it| it == "items");
    let flag = Flag::of(definition, entry, wrapped).at(snapshot.revision, stale);
    JsonResponse::ok(&flag)
}

/// Every setting, as flags; written once for each revision.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags",
    operation_id = "evaluateFlags",
    tag = "ofrep",
    params(
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that the caller holds"),
        ("flagConfigEtag" = Option<String>, Query, description = "The `etag` of a refetch event: if this instance has not heard of it yet, it waits a moment"),
        ("flagConfigLastModified" = Option<String>, Query, description = "The `lastModified` of a refetch event"),
    ),
    request_body(content = Option<Object>, description = "`{\"context\": {…}}`; no value depends on it"),
    responses(
        (status = 200, description = "The flags, where to hear of changes, and `metadata` with `revision` and `stale`: whether they may be outdated, because the database is away or holds what is invalid", body = FlagList<'_>, headers(
            ("ETag" = String, description = "What these flags are"),
        )),
        (status = 304, description = "The caller holds them already"),
        (status = 400, description = "`PARSE_ERROR` or `INVALID_CONTEXT`", body = Refusal),
        (status = 401, description = "No valid credentials", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn evaluate_all(
    _: Reader,
    State(settings): State<GlobalSettingsService>,
    State(ofrep): State<Ofrep>,
    State(clock): State<Clock>,
    headers: HeaderMap,
    mut query: Query,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    let told = query.text("flagConfigEtag");
    query.text("flagConfigLastModified");
    query.finish()?;
    request::check(body.as_deref())?;
    let told = told.as_deref().and_then(page::revision_in);
    if let Some(told) = told.filter(|told| settings.revision() < *told) {
        // Told by an instance that is ahead of this one, which takes milliseconds; or it was made up.
        let _ = timeout(BEHIND, settings.wait_for(told)).await;
    }
    let page = ofrep.page(&settings, clock.now()).await?;
    answer(&page, &headers)
}

fn answer(page: &Page, headers: &HeaderMap) -> Result<Response, Problem> {
    let tag = [(header::ETAG, page.tag.clone())];
    if preconditions::evaluate(headers, page.tag.to_str().unwrap_or_default())?
        == ReadOutcome::NotModified
    {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((tag, kind, page.body.clone()).into_response())
}
