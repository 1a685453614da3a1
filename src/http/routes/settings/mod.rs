//! `/admin/global-settings`: settings in batches.

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
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use validator::ValidationError;

use crate::{
    database::Pool,
    http::{
        auth::SuperAdmin,
        openapi::problems,
        problem::Problem,
        request::{
            path::PathSegment,
            preconditions::{self, ReadConditions},
            query::{Drafted, NoParameters, Query, query},
            rules::violation,
            value::MAX_INTEGER,
        },
        response::JsonResponse,
    },
    settings::{self, AsOf, GlobalSettingsService, Listing, Setting},
};

problems! {
    ListProblems: MalformedRequest, Unauthorized, Forbidden, RevisionNotFound, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

query! {
    /// The state to read: current or past.
    #[validate(schema(function = revision_or_time))]
    struct AsOfParameters {
        /// The revision of the state
        #[validate(range(min = 0, max = MAX_INTEGER))]
        revision: Option<i64>,
        /// The time of the state, in RFC 3339
        at: Option<DateTime<Utc>>,
    }
}

fn revision_or_time(draft: &<AsOfParameters as Drafted>::Draft) -> Result<(), ValidationError> {
    // The parameters may name different states, and neither may win silently.
    if matches!((draft.revision.0, draft.at.0), (Some(Some(_)), Some(Some(_)))) {
        return Err(violation("at", "ambiguous", "either `revision` or `at`, not both"));
    }
    Ok(())
}

impl From<AsOfParameters> for AsOf {
    fn from(parameters: AsOfParameters) -> Self {
        let instant = parameters.at.map(Self::Instant);
        parameters.revision.map(Self::Revision).or(instant).unwrap_or(Self::Now)
    }
}

/// Every editable setting, read from the database.
#[utoipa::path(
    get,
    path = "/admin/global-settings",
    operation_id = "listSettings",
    tag = "settings",
    params(AsOfParameters, ReadConditions),
    responses(
        (status = 200, description = "The settings, by key", body = Listing, headers(
            ("ETag" = String, description = "The revision, as `\"r<revision>\"`"),
        )),
        (status = 304, description = "The state is that of `If-None-Match`"),
        ListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    Query(parameters): Query<AsOfParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    let as_of = AsOf::from(parameters);
    // Reads a single row instead of all settings, as the reader probably has the current state.
    if as_of == AsOf::Now && conditions.is_conditional() {
        let tag = preconditions::revision_tag(settings::revision(&pool).await?);
        if let Some(response) = conditions.not_modified(&tag)? {
            return Ok(response);
        }
    }
    // A past state needs a read in any case: only the read finds the revision of a time.
    let listing = settings::list(&pool, &settings, as_of).await?;
    let tag = preconditions::revision_tag(listing.revision);
    // Again, with the tag of the read: a change may have come in between.
    if let Some(response) = conditions.not_modified(&tag)? {
        return Ok(response);
    }
    let response = JsonResponse::list(listing.settings.len(), &listing).await?;
    Ok(response.with(header::ETAG, &tag).into_response())
}

problems! {
    FindProblems: MalformedRequest, Unauthorized, Forbidden, UnknownKey, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

/// An editable setting, read from the database.
#[utoipa::path(
    get,
    path = "/admin/global-settings/{key}",
    operation_id = "getSetting",
    tag = "settings",
    params(("key" = String, Path, description = "The setting"), ReadConditions),
    responses(
        (status = 200, description = "The setting", body = Setting, headers(
            ("ETag" = String, description = "Its version, as `\"v<version>\"`"),
        )),
        (status = 304, description = "The version is that of `If-None-Match`"),
        FindProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    PathSegment(key): PathSegment,
    _: Query<NoParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    let setting = settings::find(&pool, &settings, &key).await?;
    let tag = preconditions::version_tag(setting.version);
    conditions.tagged(&tag, || JsonResponse::ok(&setting))
}
