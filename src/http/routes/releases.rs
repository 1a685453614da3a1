//! `/admin/releases`: names of revisions, to compare and to restore.

use axum::{
    extract::State,
    http::{StatusCode, header},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    audit::{Actor, Reason},
    database::{self, Pool},
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        current_fleet::CurrentFleet,
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            path::PathSegment,
            query::{NoParameters, Query, query},
            value::{MAX_INTEGER, ReleaseName},
        },
        response::{JsonResponse, StepResponse},
        write::{ChangeNote, StepHeaders, StepParameters},
    },
    ids::RequestId,
    releases::{self, Release},
    settings::{self, GlobalSettingsService, ReleaseDiff, SettingsWriter},
};

problems! {
    ReleaseListProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

problems! {
    ReleaseProblems: MalformedRequest, Unauthorized, Forbidden, ReleaseNotFound, Internal, Unavailable
}

problems! {
    MakeReleaseProblems: MalformedRequest, SecretLike, Unauthorized, Forbidden, RevisionNotFound,
    FleetOutdated, ReleaseExists, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused,
    RateLimited, Internal, Unavailable, OutcomeUnknown
}

problems! {
    ArchiveReleaseProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, ReleaseNotFound,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal, Unavailable,
    OutcomeUnknown
}

body! {
    /// A new release.
    struct NewRelease {
        /// The name; each name can be used only once.
        name: ReleaseName,
        /// The revision; the current one by default.
        #[validate(range(min = 1, max = MAX_INTEGER))]
        revision: Option<i64>,
        /// What the release is for, in 3 to 500 characters on one line, 3 of them visible.
        note: Reason,
    }
}

body! {
    /// Why a release is archived.
    struct ReleaseArchive {
        /// The reason
        note: ChangeNote,
    }
}

query! {
    /// The state to compare a release with.
    struct DiffParameters {
        /// Another release; by default the current settings
        to: Option<String>,
    }
}

/// The releases, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Releases)]
pub(in crate::http) struct ReleaseList {
    /// The newest 200 releases.
    releases: Vec<Release>,
}

/// The releases, newest first.
#[utoipa::path(
    get,
    path = "/admin/releases",
    operation_id = "listReleases",
    tag = "releases",
    responses((status = 200, description = "The releases", body = ReleaseList), ReleaseListProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let releases = database::read_with_retry(&pool, async |conn| releases::list(conn).await);
    JsonResponse::ok(&ReleaseList { releases: releases.await? })
}

/// Names a revision. A release never changes, and stores no values: the audit trail has them.
#[utoipa::path(
    post,
    path = "/admin/releases",
    operation_id = "makeRelease",
    tag = "releases",
    params(StepParameters, StepHeaders),
    request_body = NewRelease,
    responses(
        (status = 201, description = "The release", body = StepResponse<Release>, headers(
            ("Location" = String, description = "The address of the release"),
        )),
        (status = 200, description = "With `dry_run`: the release that would be made", body = StepResponse<Release>),
        MakeReleaseProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn make(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: CurrentFleet,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: NewRelease { name, revision, note }, bytes }: Body<NewRelease>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = Actor { user: caller.user, reason: note, request };
    let release = writer.make_release(&actor, &name.0, revision, &options).await?;
    let location = format!("/admin/releases/{}", release.name);
    let response = StepResponse::respond(release, StatusCode::CREATED, dry_run)?;
    Ok(if dry_run { response } else { response.with(header::LOCATION, &location) })
}

/// A release.
#[utoipa::path(
    get,
    path = "/admin/releases/{name}",
    operation_id = "getRelease",
    tag = "releases",
    params(("name" = String, Path, description = "The release")),
    responses((status = 200, description = "The release", body = Release), ReleaseProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find(
    _: SuperAdmin,
    State(pool): State<Pool>,
    PathSegment(name): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&settings::find_release(&pool, &name).await?)
}

/// The settings that differ between a release and another release, or the current settings.
#[utoipa::path(
    get,
    path = "/admin/releases/{name}/diff",
    operation_id = "compareRelease",
    tag = "releases",
    params(DiffParameters, ("name" = String, Path, description = "The release")),
    responses((status = 200, description = "The differences", body = ReleaseDiff), ReleaseProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn diff(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    PathSegment(name): PathSegment,
    Query(DiffParameters { to }): Query<DiffParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&settings::diff_release(&pool, &settings, &name, to.as_deref()).await?)
}

/// Archives a release, which can still be compared and restored. Does nothing if the release is archived.
#[utoipa::path(
    post,
    path = "/admin/releases/{name}/archive",
    operation_id = "archiveRelease",
    tag = "releases",
    params(("name" = String, Path, description = "The release"), StepParameters, StepHeaders),
    request_body = ReleaseArchive,
    responses((status = 200, description = "The release", body = StepResponse<Release>), ArchiveReleaseProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn archive(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(name): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: ReleaseArchive { note }, bytes }: Body<ReleaseArchive>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    let release = writer.archive_release(&actor, &name, &options).await?;
    StepResponse::respond(release, StatusCode::OK, dry_run)
}
