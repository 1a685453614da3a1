//! `/admin/starts`: the stop of all session starts.

use axum::{extract::State, http::StatusCode};

use crate::{
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            query::{NoParameters, Query},
        },
        response::{JsonResponse, StepResponse},
        routes::sessions::declared::WithSessions,
        write::{ChangeNote, StepHeaders, StepParameters},
    },
    idempotency::Execution,
    ids::RequestId,
    metrics::Metrics,
    outbox::Outbox,
    sessions::{self, StartsState, StartsWriter},
    settings::SettingsWriter,
};

problems! {
    StartsProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

problems! {
    StopProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, NotFound, RequestTimeout,
    PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal, Unavailable, OutcomeUnknown
}

body! {
    /// A stop of all session starts.
    struct StartsStopRequest {
        /// The reason
        note: ChangeNote,
        /// The length of the stop, which then ends by itself.
        #[validate(range(min = 1, max = 1440))]
        #[example(15)]
        minutes: i64,
    }
}

body! {
    /// The early end of a stop of session starts.
    struct StartsResumption {
        /// The reason
        note: ChangeNote,
    }
}

/// Whether sessions can start.
#[utoipa::path(
    get,
    path = "/admin/starts",
    operation_id = "getStarts",
    tag = "sessions",
    responses((status = 200, description = "The stop in force, if any", body = StartsState), StartsProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn starts(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&sessions::starts_state(&pool).await?)
}

/// Stops all session starts on every instance. Running sessions continue.
///
/// After the response no session starts until the stop ends. A second stop replaces the first.
#[utoipa::path(
    post,
    path = "/admin/starts/stop",
    operation_id = "stopStarts",
    tag = "sessions",
    params(StepParameters, StepHeaders),
    request_body = StartsStopRequest,
    responses((status = 200, description = "The stop", body = StepResponse<StartsState>), StopProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn stop_starts(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<SettingsWriter>,
    State(outbox): State<Outbox>,
    State(metrics): State<Metrics>,
    request: RequestId,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: StartsStopRequest { note, minutes }, bytes }: Body<StartsStopRequest>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    let writer = StartsWriter { pool: &pool, settings: &settings, outbox: &outbox };
    let Execution { result: state, is_repeat } = writer.stop(&actor, minutes, &options).await?;
    // A repeated request may have the response of a stop that is over. The other instances notice within seconds, by the
    // task of the metric.
    if !dry_run && !is_repeat {
        metrics.starts_stopped(true);
    }
    StepResponse::respond(state, StatusCode::OK, dry_run)
}

/// Resumes session starts before the stop ends. Without a stop in force, nothing is stored.
#[utoipa::path(
    post,
    path = "/admin/starts/resume",
    operation_id = "resumeStarts",
    tag = "sessions",
    params(StepParameters, StepHeaders),
    request_body = StartsResumption,
    responses((status = 200, description = "The state", body = StepResponse<StartsState>), StopProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn resume_starts(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<SettingsWriter>,
    State(outbox): State<Outbox>,
    State(metrics): State<Metrics>,
    request: RequestId,
    Query(StepParameters { dry_run }): Query<StepParameters>,
    headers: StepHeaders,
    Body { value: StartsResumption { note }, bytes }: Body<StartsResumption>,
) -> Result<JsonResponse, Problem> {
    let options = headers.options(&caller, dry_run, &bytes);
    let actor = note.actor(caller, request);
    let writer = StartsWriter { pool: &pool, settings: &settings, outbox: &outbox };
    let Execution { result: state, is_repeat } = writer.resume(&actor, &options).await?;
    if !dry_run && !is_repeat {
        metrics.starts_stopped(state.stopped.is_some());
    }
    StepResponse::respond(state, StatusCode::OK, dry_run)
}
