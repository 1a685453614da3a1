//! `/admin/global-settings`: the batch contract of the Brun-E design.

mod history;
mod rollback;
mod stream;
mod update;

pub(in crate::http) use history::*;
pub(in crate::http) use rollback::*;
pub(in crate::http) use stream::*;
pub(in crate::http) use update::*;

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use crate::{
    database::Pool,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{fields::NUMBERS, path::PathSegment, preconditions, query::Query},
        response::JsonResponse,
    },
    settings::{self, AsOf, GlobalSettingsService, Listing, Setting},
};

problems! {
    ListProblems: MalformedRequest, Unauthorized, Forbidden, RevisionNotFound, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

/// Every editable setting, read from the database.
#[utoipa::path(
    get,
    path = "/admin/global-settings",
    operation_id = "listSettings",
    tag = "settings",
    params(
        ("revision" = Option<i64>, Query, description = "The settings as they were at this revision"),
        ("at" = Option<String>, Query, description = "The settings as they were at this RFC 3339 time"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that the caller holds"),
    ),
    responses(
        (status = 200, description = "The settings, by key", body = Listing, headers(
            ("ETag" = String, description = "The revision, as `\"r<revision>\"`"),
        )),
        (status = 304, description = "The caller holds them already"),
        ListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    let as_of = as_of(query)?;
    if as_of == AsOf::Now && preconditions::is_conditional(&headers) {
        let tag = preconditions::revision_tag(settings::revision(&pool).await?);
        if let Some(response) = preconditions::not_modified(&headers, &tag)? {
            return Ok(response);
        }
    }
    let listing = settings::list(&pool, &settings, as_of).await?;
    let tag = preconditions::revision_tag(listing.revision);
    if let Some(response) = preconditions::not_modified(&headers, &tag)? {
        return Ok(response);
    }
    let answer = JsonResponse::list(listing.settings.len(), &listing).await?;
    Ok(answer.with(header::ETAG, &tag).into_response())
}

fn as_of(mut query: Query) -> Result<AsOf, Problem> {
    // Revision 0 is before the first one, and that is for the database to say.
    let revision = query.integer("revision", 0..=*NUMBERS.end());
    let at = query.time("at");
    if revision.is_some() && at.is_some() {
        query.fault("at", "ambiguous", "either `revision` or `at`, not both");
    }
    query.finish()?;
    let as_of = revision.map(AsOf::Revision).or(at.map(AsOf::Instant));
    Ok(as_of.unwrap_or(AsOf::Now))
}

problems! {
    FindProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

/// One editable setting, read from the database.
#[utoipa::path(
    get,
    path = "/admin/global-settings/{key}",
    operation_id = "getSetting",
    tag = "settings",
    params(
        ("key" = String, Path, description = "Its key"),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that the caller holds"),
    ),
    responses(
        (status = 200, description = "The setting", body = Setting, headers(
            ("ETag" = String, description = "Its version, as `\"v<version>\"`"),
        )),
        (status = 304, description = "The caller holds it already"),
        FindProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    PathSegment(key): PathSegment,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Problem> {
    query.finish()?;
    let setting = settings::find(&pool, &settings, &key).await?;
    let tag = preconditions::version_tag(setting.version);
    preconditions::tagged(&headers, &tag, || JsonResponse::ok(&setting))
}
