//! `/admin/proposals/{number}/rollout`: what the sessions say about a rollout.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            path::PathSegment,
            query::{NoParameters, Query},
        },
        response::JsonResponse,
        routes::{proposals::number, sessions::declared::WithSessions},
        write::{ChangeNote, StepHeaders},
    },
    ids::RequestId,
    outbox::Outbox,
    sessions::{self, CandidateEnd, EndedBy, RolloutForecast, RolloutReport, WhatIfRunner},
    settings::SettingsWriter,
};

problems! {
    RolloutProblems: MalformedRequest, Unauthorized, Forbidden, ProposalNotFound, RolloutNotFound, Internal, Unavailable
}

problems! {
    PreviewProblems: MalformedRequest, Unauthorized, Forbidden, ProposalNotFound, RolloutNotFound, WhatIfBusy, Internal,
    Unavailable
}

/// A rollout: its stage and share, the users and failing users of both arms, the evidence of each guard, and what the rule
/// waits for. Also after the end.
#[utoipa::path(
    get,
    path = "/admin/proposals/{number}/rollout",
    operation_id = "getRollout",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number")),
    responses((status = 200, description = "The rollout", body = RolloutReport), RolloutProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn find_rollout(
    _: SuperAdmin,
    State(writer): State<SettingsWriter>,
    State(pool): State<Pool>,
    PathSegment(path): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&sessions::find_rollout(&writer, &pool, number(&path)?).await?)
}

/// The expected duration and sensitivity of the rollout that a proposal plans, from the starts of the last week.
///
/// Four changes are simulated: without an effect, with twice and with four times the failure rate of the last week, and
/// with a failure of every candidate user.
#[utoipa::path(
    get,
    path = "/admin/proposals/{number}/rollout/preview",
    operation_id = "previewRollout",
    tag = "proposals",
    params(("number" = i64, Path, description = "The number")),
    responses((status = 200, description = "The preview", body = RolloutForecast), PreviewProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn preview_rollout(
    _: SuperAdmin,
    State(writer): State<SettingsWriter>,
    State(pool): State<Pool>,
    State(runner): State<WhatIfRunner>,
    PathSegment(path): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    // Several at once would exceed the deadlines of one another.
    let _permit = runner.turn().await?;
    JsonResponse::ok(&sessions::forecast(&writer, &pool, number(&path)?).await?)
}

problems! {
    EndCandidateProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, NotFound, ProposalNotFound,
    RolloutNotFound, RequestTimeout, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal, Unavailable,
    OutcomeUnknown
}

body! {
    /// Why the sessions of a candidate are ended.
    struct CandidateSessionsEnd {
        /// The reason
        note: ChangeNote,
    }
}

/// The ended sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EndedCandidateSessions)]
struct EndedSessions {
    /// The number of ended sessions.
    ended: i64,
}

/// Ends the sessions that run on the candidate of a rollout, at most 10,000 in a request, and stores the reason.
///
/// A revert ends no session: sessions keep their settings. Starting sessions stay unchanged.
#[utoipa::path(
    post,
    path = "/admin/proposals/{number}/rollout/end-sessions",
    operation_id = "endCandidateSessions",
    tag = "sessions",
    params(("number" = i64, Path, description = "The number"), StepHeaders),
    request_body = CandidateSessionsEnd,
    responses((status = 200, description = "The number of ended sessions", body = EndedSessions), EndCandidateProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn end_candidate_sessions(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<SettingsWriter>,
    State(outbox): State<Outbox>,
    request: RequestId,
    PathSegment(path): PathSegment,
    _: Query<NoParameters>,
    headers: StepHeaders,
    Body { value: CandidateSessionsEnd { note }, bytes }: Body<CandidateSessionsEnd>,
) -> Result<JsonResponse, Problem> {
    // First, so that the reason is not scanned for a path without a proposal.
    let number = number(&path)?;
    let key = headers.options(&caller, false, &bytes).idempotency;
    let actor = note.actor(caller, request);
    // The reason is stored and logged, so a possible secret is refused first.
    let by = EndedBy::new(actor, &settings).await?;
    let end = CandidateEnd { number, by: &by, key: key.as_ref() };
    // Logged by the capability, with the number of sessions.
    let ended = sessions::end_candidate_sessions(&pool, &outbox, end).await?;
    JsonResponse::ok(&EndedSessions { ended })
}
