//! `/brun-e`: sessions of users. `/admin/sessions`: all of them.

mod admin;
mod declared;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
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
            body::OptionalBody, fields::Fields, path::PathSegment, preconditions, query::Query,
        },
        response::JsonResponse,
        serve::limits::AnswerDue,
    },
    ids::{RequestId, UserId},
    json::{FieldError, StrictJson},
    outbox::Outbox,
    secret_scanner::SecretScanner,
    sessions::{self, End, MintedSecret, Session, SessionScope, SessionStarter, Status, User},
    settings::GlobalSettingsService,
    text::{IdentifierError, check_optional_identifier},
};

/// Bytes of a plan's or a level's name.
const WORD_BYTES: usize = 256;

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

/// Whom a service starts a session for; a user's token says that itself.
#[derive(ToSchema)]
#[schema(as = SessionStart)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct StartBody {
    /// The user.
    user_id: String,
    /// Their plan, if they have one.
    plan: Option<String>,
    /// Their level.
    level: Option<String>,
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
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat answers with the same session"),
    ),
    request_body(content = Option<StartBody>, description = "With `X-Internal-Api-Key` only"),
    responses(
        (status = 201, description = "The session", body = SessionDocument, headers(
            ("Location" = String, description = "Where the session is"),
            ("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier request with the same key started it"),
        )),
        StartProblems,
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
#[expect(clippy::too_many_arguments, reason = "a handler takes what it is given, part by part")]
pub(in crate::http) async fn start(
    caller: InternalOrUser,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(scanner): State<SecretScanner>,
    State(starts): State<SessionStarter>,
    State(clock): State<Clock>,
    Extension(id): Extension<RequestId>,
    Extension(AnswerDue(due)): Extension<AnswerDue>,
    headers: HeaderMap,
    query: Query,
    OptionalBody(body): OptionalBody,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let user = user(caller, body.map(|body| body.json))?;
    let idempotency_key = preconditions::idempotency_key(&headers, &scanner)?;
    let request = sessions::Request { user, idempotency_key, id, now: clock.now(), due };
    let started = sessions::start(&starts, &pool, &settings, &request).await?;
    let location = format!("/brun-e/sessions/{}", started.session.id);
    let realtime = started.realtime.map(ClientSecret::from);
    let document = SessionDocument { realtime, ..SessionDocument::from(started.session) };
    let answer =
        JsonResponse::new(StatusCode::CREATED, &document)?.with(header::LOCATION, &location);
    Ok(if started.replayed { answer.with(REPLAYED, "true") } else { answer })
}

/// Who the session is for: whom the token names, or whom another service names.
fn user(caller: InternalOrUser, body: Option<StrictJson>) -> Result<User, Problem> {
    let caller = match caller {
        InternalOrUser::User(caller) => caller,
        InternalOrUser::Internal => return named(body),
    };
    if let Some(body) = body {
        // Plan and level come from the token alone: a body that names them would be ignored silently.
        Fields::of(body)?.finish(|| Some(()))?;
    }
    let Caller { user, plan, level, .. } = caller;
    Ok(User { id: user, plan, level })
}

fn named(body: Option<StrictJson>) -> Result<User, Problem> {
    let needed =
        || Problem::malformed(FieldError::at("", "required", "a body with `user_id` is needed"));
    let mut fields = Fields::of(body.ok_or_else(needed)?)?;
    let name = fields.string("user_id");
    let id = match name.as_deref().map(UserId::parse) {
        Some(Ok(id)) => Some(id),
        Some(Err(error)) => {
            fields.fault("user_id", "not_a_user_id", error.to_string());
            None
        }
        None => None,
    };
    let (plan, level) = (word(&mut fields, "plan"), word(&mut fields, "level"));
    fields.finish(|| Some(User { id: id?, plan, level }))
}

fn word(fields: &mut Fields, name: &'static str) -> Option<String> {
    let text = fields.optional_string(name)?;
    if let Err(error) = check_optional_identifier(&text, WORD_BYTES) {
        let too_long = matches!(error, IdentifierError::TooLong { .. });
        let code = if too_long { "too_long" } else { "not_a_name" };
        fields.fault(name, code, error.to_string());
    }
    Some(text)
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
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let session = sessions::find(&pool, &reach(caller), session_id(&id)?, clock.now()).await?;
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
    State(outbox): State<Outbox>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let end = End { id: session_id(&id)?, now: clock.now(), by: None };
    let session = sessions::end(&pool, &outbox, &reach(caller), &end).await?;
    JsonResponse::ok(&SessionDocument::from(session))
}

fn reach(caller: InternalOrUser) -> SessionScope {
    match caller {
        InternalOrUser::User(Caller { is_admin: false, user, .. }) => SessionScope::Of(user),
        InternalOrUser::User(_) | InternalOrUser::Internal => SessionScope::Any,
    }
}

fn session_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::parse_str(text).map_err(|_| Problem::not_found("there is no session of that id"))
}
