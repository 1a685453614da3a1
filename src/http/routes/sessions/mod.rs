//! `/brun-e`: the sessions of a user. `/admin/sessions`: all sessions.

mod admin;
mod declared;
mod document;
mod rollouts;
mod starts;
mod what_if;

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};

pub(in crate::http) use admin::*;
use declared::WithSessions;
use document::{SessionDocument, session_id};
pub(in crate::http) use rollouts::*;
pub(in crate::http) use starts::*;
pub(in crate::http) use what_if::*;

use crate::{
    clock::Clock,
    database::Pool,
    http::{
        auth::{Caller, InternalOrUser},
        openapi::problems,
        problem::Problem,
        request::{
            body::OptionalBody,
            fields::{NoFields, body},
            headers::IdempotencyKey,
            path::PathSegment,
            query::{NoParameters, Query},
            value::{PlanName, choices},
        },
        response::JsonResponse,
        serve::limits::ResponseDeadline,
    },
    ids::{RequestId, UserId},
    outbox::Outbox,
    sessions::{self, End, Outcome, SessionScope, SessionStarter, User},
    settings::GlobalSettingsService,
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

body! {
    /// The user for whom a service starts a session. With a user's token the body is left out or empty: the token names
    /// the user.
    struct SessionStart {
        /// The user.
        user_id: UserId,
        /// The user's plan.
        plan: Option<PlanName>,
        /// The user's level.
        level: Option<PlanName>,
    }
}

problems! {
    StartProblems: MalformedRequest, Unauthorized, NotEligible, NotFound, RequestTimeout, SessionActive,
    IdempotencyInProgress, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited, Internal,
    RealtimeUnavailable, ConfigUnavailable, PlanUnavailable, StartsStopped, Unavailable, OutcomeUnknown
}

/// Starts a session under the current settings at the insertion of the row.
///
/// If a realtime provider is configured, `realtime` has a client secret for the pinned prompt and model. The secret is
/// returned once; a repeat with the same `Idempotency-Key` has null. If the service asks Porte Talent, the response of
/// Porte Talent decides plan and level, and the token and the body do not count.
#[utoipa::path(
    post,
    path = "/brun-e/start",
    operation_id = "startSession",
    tag = "sessions",
    params(IdempotencyKey),
    request_body(content = Option<SessionStart>, description = "With `X-Internal-Api-Key` only; with a token, no body or `{}`"),
    responses(
        (status = 201, description = "The session", body = SessionDocument, headers(
            ("Location" = String, description = "The address of the session"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier request with the same key started it"),
        )),
        StartProblems,
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn start(
    caller: InternalOrUser,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(starts): State<SessionStarter>,
    State(clock): State<Clock>,
    id: RequestId,
    ResponseDeadline(due): ResponseDeadline,
    _: Query<NoParameters>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    body: OptionalBody,
) -> Result<JsonResponse, Problem> {
    let user = user(caller, body)?;
    // Calls of the plan service and the provider must end before the response is `due`.
    let request = sessions::Request { user, idempotency_key, id, now: clock.now(), due };
    let start = sessions::start(&starts, &pool, &settings, &request).await?;
    // The middleware adds the path prefix of a proxy to `Location`.
    let location = format!("/brun-e/sessions/{}", start.session.id);
    let document = SessionDocument::started(start.session, start.realtime);
    // A repeat is a 201 as well, so that clients need no second code path.
    let response = JsonResponse::new(StatusCode::CREATED, &document)?;
    let response = response.with(header::LOCATION, &location);
    Ok(if start.replayed { response.with(REPLAYED, "true") } else { response })
}

/// Returns the user of the session: the subject of the token, or the user named by another service.
fn user(caller: InternalOrUser, body: OptionalBody) -> Result<User, Problem> {
    match caller {
        InternalOrUser::Internal => {
            let SessionStart { user_id: id, plan, level } = body.required()?;
            let name = |name: PlanName| name.0;
            Ok(User { id, plan: plan.map(name), level: level.map(name) })
        }
        InternalOrUser::User(Caller { user: id, plan, level, .. }) => {
            // Plan and level come from the token alone: fields in the body would be ignored silently.
            body.optional::<NoFields>()?;
            Ok(User { id, plan, level })
        }
    }
}

problems! {
    SessionProblems: MalformedRequest, Unauthorized, NotFound, Internal, Unavailable
}

/// A session, for its owner, an internal service or an administrator.
#[utoipa::path(
    get,
    path = "/brun-e/sessions/{id}",
    operation_id = "getSession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "The session")),
    responses((status = 200, description = "The session", body = SessionDocument), SessionProblems),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn find(
    caller: InternalOrUser,
    _: WithSessions,
    State(pool): State<Pool>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let session = sessions::find(&pool, &scope(caller), session_id(&id)?, clock.now()).await?;
    JsonResponse::ok(&SessionDocument::from(session))
}

body! {
    /// How a session went. The body may be left out.
    struct SessionReport {
        /// `failed` if the session was of no use to the user. Null, or nothing, reports no failure.
        #[example("failed")]
        outcome: Option<Outcome>,
    }
}

choices! {
    Outcome: Outcome::ALL.map(|outcome| (outcome.as_str(), outcome));
}

problems! {
    EndProblems: MalformedRequest, Unauthorized, NotFound, RequestTimeout, PayloadTooLarge, UnsupportedMediaType,
    Internal, Unavailable, OutcomeUnknown
}

/// Ends a session. An ended or starting session stays unchanged.
///
/// A session that is reported as failed counts as a failure of its user in a rollout, as does a session that its user ends
/// within a minute.
#[utoipa::path(
    post,
    path = "/brun-e/sessions/{id}/end",
    operation_id = "endSession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "The session")),
    request_body(content = Option<SessionReport>, description = "How the session went"),
    responses((status = 200, description = "The session as it ended", body = SessionDocument), EndProblems),
    security(("bearer" = []), ("internal_key" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn end(
    caller: InternalOrUser,
    _: WithSessions,
    State(pool): State<Pool>,
    State(outbox): State<Outbox>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
    body: OptionalBody,
) -> Result<JsonResponse, Problem> {
    let outcome = body.optional::<SessionReport>()?.and_then(|report| report.outcome);
    // No reason is asked of a user; only `/admin/sessions` records the author of an end.
    let end = End { id: session_id(&id)?, now: clock.now(), by: None, outcome };
    let session = sessions::end(&pool, &outbox, &scope(caller), &end).await?;
    JsonResponse::ok(&SessionDocument::from(session))
}

fn scope(caller: InternalOrUser) -> SessionScope {
    match caller {
        // A session of another user is a 404: even the existence stays hidden.
        InternalOrUser::User(Caller { is_admin: false, user, .. }) => SessionScope::Of(user),
        InternalOrUser::User(_) | InternalOrUser::Internal => SessionScope::Any,
    }
}
