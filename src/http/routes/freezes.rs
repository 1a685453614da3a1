//! `/admin/freezes`: times in which no setting changes.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Pool, TransactionError},
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        current_fleet::CurrentFleet,
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            path::PathSegment,
            query::{NoParameters, Query},
        },
        response::{JsonResponse, StepResponse},
        write::{ChangeNote, StepHeaders, StepParameters},
    },
    ids::RequestId,
    proposals::{self, Freeze},
    settings::SettingsWriter,
};

problems! {
    FreezeListProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

problems! {
    FreezeProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden,
    RequestTimeout, FleetOutdated, PayloadTooLarge, UnsupportedMediaType,
    IdempotencyKeyReused, RateLimited, Internal, Unavailable, OutcomeUnknown
}

problems! {
    EndFreezeProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, NotFound, FreezeOver,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal, Unavailable,
    OutcomeUnknown
}

body! {
    /// A freeze.
    struct NewFreeze {
        /// The reason
        note: ChangeNote,
        /// The beginning, within 366 days; now by default.
        starts_at: Option<DateTime<Utc>>,
        /// The end, at most 92 days after the beginning.
        #[example("2027-01-04T08:00:00Z")]
        ends_at: DateTime<Utc>,
    }
}

body! {
    /// The early end of a freeze.
    struct FreezeEnd {
        /// The reason
        note: ChangeNote,
    }
}

/// The freezes, the one that ends last first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Freezes)]
pub(in crate::http) struct FreezeList {
    /// The freeze in force, if any.
    #[schema(required)]
    active: Option<Freeze>,
    /// The newest 200 freezes.
    freezes: Vec<Freeze>,
}

/// The freezes, past and planned.
#[utoipa::path(
    get,
    path = "/admin/freezes",
    operation_id = "listFreezes",
    tag = "proposals",
    responses((status = 200, description = "The freezes", body = FreezeList), FreezeListProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let list = database::read_with_retry(&pool, async |conn| {
        let active = proposals::active_freeze(conn).await?;
        Ok::<_, TransactionError>(FreezeList { active, freezes: proposals::freezes(conn).await? })
    });
    JsonResponse::ok(&list.await?)
}

/// Freezes all settings for a time: nobody changes a setting, except in an emergency.
#[utoipa::path(
    post,
    path = "/admin/freezes",
    operation_id = "freezeSettings",
    tag = "proposals",
    params(StepParameters, StepHeaders),
    request_body = NewFreeze,
    responses(
        (status = 201, description = "The freeze", body = StepResponse<Freeze>),
        (status = 200, description = "With `dry_run`: the freeze that would be set", body = StepResponse<Freeze>),
        FreezeProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn freeze(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: CurrentFleet,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: NewFreeze { note, starts_at, ends_at }, bytes }: Body<NewFreeze>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    let freeze = writer.freeze(&actor, starts_at, ends_at, &options).await?;
    StepResponse::respond(freeze, StatusCode::CREATED, dry_run)
}

/// Ends a freeze before its end.
#[utoipa::path(
    post,
    path = "/admin/freezes/{id}/end",
    operation_id = "endFreeze",
    tag = "proposals",
    params(("id" = Uuid, Path, description = "The freeze"), StepParameters, StepHeaders),
    request_body = FreezeEnd,
    responses((status = 200, description = "The freeze", body = StepResponse<Freeze>), EndFreezeProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn end(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    PathSegment(id): PathSegment,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: FreezeEnd { note }, bytes }: Body<FreezeEnd>,
) -> Result<JsonResponse, Problem> {
    // A malformed id is a 404 like an unknown id: clients handle a single case.
    let id = Uuid::parse_str(&id).map_err(|_| Problem::not_found("there is no such freeze"))?;
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    let freeze = writer.end_freeze(&actor, id, &options).await?;
    StepResponse::respond(freeze, StatusCode::OK, dry_run)
}
