//! `/brun-e`: sessions of users. `/admin/sessions`: all of them.

mod admin;
mod declared;

use axum::{
    Extension,
    extract::State,
    http::{HeaderName, StatusCode, header},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub(in crate::http) use admin::*;
use declared::WithSessions;

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
            value::PlanName,
        },
        response::JsonResponse,
        serve::limits::AnswerDue,
    },
    ids::{RequestId, UserId},
    sessions::{self, End, MintedSecret, Session, SessionScope, SessionStarter, Status, User},
    settings::GlobalSettingsService,
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A session, with the settings it keeps.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(in crate::http) struct SessionDocument {
    session_id: Uuid,
    user_id: String,
    status: Status,
    started_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// When it ended, or expired.
    #[schema(required)]
    ended_at: Option<DateTime<Utc>>,
    config: Pinned,
    /// What the client opens it with, handed out once, by the start itself; null everywhere else.
    #[schema(required)]
    realtime: Option<ClientSecret>,
}

/// The realtime provider's secret for one client.
#[derive(Serialize, ToSchema)]
struct ClientSecret {
    /// The secret.
    #[schema(example = "ek_68af296e8e408191a1120ab6383263c2")]
    client_secret: String,
    /// Until when it opens the session.
    expires_at: DateTime<Utc>,
}

impl From<MintedSecret> for ClientSecret {
    fn from(minted: MintedSecret) -> Self {
        let client_secret = minted.client_secret.expose().to_owned();
        Self { client_secret, expires_at: minted.expires_at }
    }
}

/// The settings that a session keeps.
#[derive(Serialize, ToSchema)]
#[schema(as = PinnedSettings)]
struct Pinned {
    revision: i64,
    prompt_id: String,
    prompt_version: String,
    model: String,
    session_max_minutes: i32,
}

impl From<Session> for SessionDocument {
    fn from(session: Session) -> Self {
        Self {
            session_id: session.id,
            user_id: session.user_id,
            status: session.status,
            started_at: session.started_at,
            expires_at: session.expires_at,
            ended_at: session.ended_at,
            config: Pinned {
                revision: session.settings_revision,
                prompt_id: session.prompt_id,
                prompt_version: session.prompt_version,
                model: session.model,
                session_max_minutes: session.session_max_minutes,
            },
            realtime: None,
        }
    }
}

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
    RealtimeUnavailable, ConfigUnavailable, PlanUnavailable, Unavailable, OutcomeUnknown
}

/// Starts a session under the settings that are current as its row is written.
///
/// Where a realtime provider is configured, `realtime` holds a client secret for the pinned prompt and model; it
/// is handed out once, and a repeat with the same `Idempotency-Key` has null there. Where the service asks Porte
/// Talent, plan and level are what that says, and those of the token or of the body count for nothing.
#[utoipa::path(
    post,
    path = "/brun-e/start",
    operation_id = "startSession",
    tag = "sessions",
    params(IdempotencyKey),
    request_body(content = Option<SessionStart>, description = "With `X-Internal-Api-Key` only"),
    responses(
        (status = 201, description = "The session", body = SessionDocument, headers(
            ("Location" = String, description = "Where the session is"),
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
    Extension(id): Extension<RequestId>,
    Extension(AnswerDue(due)): Extension<AnswerDue>,
    _: Query<NoParameters>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    body: OptionalBody,
) -> Result<JsonResponse, Problem> {
    let user = user(caller, body)?;
    let request = sessions::Request { user, idempotency_key, id, now: clock.now(), due };
    let started = sessions::start(&starts, &pool, &settings, &request).await?;
    let location = format!("/brun-e/sessions/{}", started.session.id);
    let realtime = started.realtime.map(ClientSecret::from);
    let document = SessionDocument { realtime, ..SessionDocument::from(started.session) };
    let response = JsonResponse::new(StatusCode::CREATED, &document)?;
    let response = response.with(header::LOCATION, &location);
    Ok(if started.replayed { response.with(REPLAYED, "true") } else { response })
}

/// Returns the user of the session: the subject of the token, or the user that another service names.
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

/// A session, for its owner, another service of ours or an administrator.
#[utoipa::path(
    get,
    path = "/brun-e/sessions/{id}",
    operation_id = "getSession",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "Its id")),
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

problems! {
    EndProblems: MalformedRequest, Unauthorized, NotFound, Internal, Unavailable, OutcomeUnknown
}

/// Ends a session; one that has ended stays as it is, and so does one that is still starting.
#[utoipa::path(
    post,
    path = "/brun-e/sessions/{id}/end",
    operation_id = "endSession",
    tag = "sessions",
    params(("id" = Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The session as it ended", body = SessionDocument), EndProblems),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn end(
    caller: InternalOrUser,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let end = End { id: session_id(&id)?, now: clock.now(), by: None };
    let session = sessions::end(&pool, settings.outbox(), &scope(caller), &end).await?;
    JsonResponse::ok(&SessionDocument::from(session))
}

fn scope(caller: InternalOrUser) -> SessionScope {
    match caller {
        InternalOrUser::User(Caller { is_admin: false, user, .. }) => SessionScope::Of(user),
        InternalOrUser::User(_) | InternalOrUser::Internal => SessionScope::Any,
    }
}

fn session_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(text).map_err(|_| Problem::not_found("no session has this id"))
}
