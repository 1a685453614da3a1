//! `/admin/sessions`: all sessions, for administrators.

use axum::{Extension, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use crate::{
    audit,
    clock::Clock,
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::Writer},
        openapi::problems,
        problem::Problem,
        request::{body::Body, fields::Fields, path::PathSegment, query::Query},
        response::JsonResponse,
        routes::sessions::{SessionDocument, declared::WithSessions, session_id},
        write::actor,
    },
    ids::RequestId,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    sessions::{self, Cursor, End, EndedBy, Filter, Pins, Session, SessionScope, Status},
};

/// A session as administrators see it.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminSession)]
pub(in crate::http) struct Overview {
    #[serde(flatten)]
    session: SessionDocument,
    /// The user's plan when it started.
    #[schema(required)]
    plan: Option<String>,
    /// The user's level when it started.
    #[schema(required)]
    level: Option<String>,
    /// What the realtime provider calls it.
    #[schema(required)]
    provider_session_id: Option<String>,
    /// What the provider calls the request that made it.
    #[schema(required)]
    provider_request_id: Option<String>,
    /// The administrator who ended it.
    #[schema(required)]
    ended_by: Option<String>,
    /// Why.
    #[schema(required)]
    end_reason: Option<String>,
}

impl From<Session> for Overview {
    fn from(mut session: Session) -> Self {
        Self {
            plan: session.plan.take(),
            level: session.level.take(),
            provider_session_id: session.provider_session_id.take(),
            provider_request_id: session.provider_request_id.take(),
            ended_by: session.ended_by.take(),
            end_reason: session.end_reason.take(),
            session: session.into(),
        }
    }
}

/// A page of sessions, newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(in crate::http) struct PageDocument {
    /// The sessions.
    sessions: Vec<Overview>,
    /// Where the next page begins; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A session, and the change that each of its settings came from.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionTrace)]
pub(in crate::http) struct TraceDocument {
    #[serde(flatten)]
    session: Overview,
    /// The settings that a start reads, as they were at the session's revision, by key.
    settings: Vec<Origin>,
}

/// A setting as a session keeps it, and who set it so, when and why.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionSetting)]
struct Origin {
    key: String,
    value: serde_json::Value,
    #[schema(required)]
    version: Option<i32>,
    /// The change set.
    #[schema(required)]
    revision: Option<i64>,
    #[schema(value_type = String, example = "update")]
    action: audit::Action,
    changed_by: String,
    reason: String,
    request_id: String,
    changed_at: DateTime<Utc>,
}

impl From<audit::Entry> for Origin {
    fn from(entry: audit::Entry) -> Self {
        Self {
            key: entry.key,
            value: entry.new_value.unwrap_or_default(),
            version: entry.version,
            revision: entry.revision,
            action: entry.action,
            changed_by: entry.changed_by,
            reason: entry.reason,
            request_id: entry.request_id,
            changed_at: entry.changed_at,
        }
    }
}

problems! {
    ListProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// Sessions, newest first.
#[utoipa::path(
    get,
    path = "/admin/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    params(
        ("status" = Option<String>, Query, description = "`starting`, `active`, `ended`, `expired` or `failed`"),
        ("user_id" = Option<String>, Query, description = "Of this user"),
        ("revision" = Option<i64>, Query, description = "That hold this revision of the settings"),
        ("limit" = Option<i64>, Query, description = "1 to 200, 50 when left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, description = "A page", body = PageDocument), ListProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(clock): State<Clock>,
    mut query: Query,
) -> Result<JsonResponse, Problem> {
    let filter = Filter {
        status: query.choice("status", &Status::ALL.map(Status::as_str)).and_then(Status::parse),
        user_id: query.text("user_id"),
        revision: query.integer("revision", 1..=i64::MAX),
    };
    let (cursor, limit) = query.page(|text| Cursor::parse(text, &filter));
    query.finish()?;
    let page = sessions::page(&pool, &filter, cursor, limit, clock.now()).await?;
    let sessions = page.sessions.into_iter().map(Overview::from).collect();
    JsonResponse::ok(&PageDocument { sessions, next_cursor: page.next_cursor })
}

problems! {
    TraceProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// A session with the settings it keeps, and who set each of them so, when and why.
#[utoipa::path(
    get,
    path = "/admin/sessions/{id}",
    operation_id = "traceSession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "Its id")),
    responses((status = 200, description = "The session", body = TraceDocument), TraceProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn trace(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    let (session, origins) = sessions::trace(&pool, session_id(&id)?, clock.now()).await?;
    let settings = origins.into_iter().map(Origin::from).collect();
    JsonResponse::ok(&TraceDocument { session: session.into(), settings })
}

/// Why a session is ended.
#[derive(ToSchema)]
#[schema(as = SessionEnd)]
#[expect(dead_code, reason = "only its schema is used: bodies are read field by field")]
pub(in crate::http) struct EndBody {
    /// 3 to 500 characters on one line, 3 of them visible.
    reason: String,
}

problems! {
    EndProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, NotFound,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Ends anybody's session, for a reason that is kept with it; one that has ended stays as it is, and so does one
/// that is still starting.
#[utoipa::path(
    post,
    path = "/admin/sessions/{id}/end",
    operation_id = "endAnySession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "Its id")),
    request_body = EndBody,
    responses((status = 200, description = "The session as it ended", body = Overview), EndProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "a handler takes what it is given, part by part")]
pub(in crate::http) async fn end_any(
    Writer(caller): Writer,
    _: WithSessions,
    State(pool): State<Pool>,
    State(scanner): State<SecretScanner>,
    State(outbox): State<Outbox>,
    State(clock): State<Clock>,
    Extension(request): Extension<RequestId>,
    PathSegment(id): PathSegment,
    query: Query,
    body: Result<Body, Problem>,
) -> Result<JsonResponse, Problem> {
    let Body { json, .. } = body.map_err(Problem::or_reason_required)?;
    query.finish()?;
    let mut fields = Fields::of(json)?;
    let reason = fields.optional_string("reason");
    fields.finish(|| Some(()))?;
    let actor = actor(&caller, reason, request)?;
    let by = EndedBy::new(actor, &scanner)?;
    let end = End { id: session_id(&id)?, now: clock.now(), by: Some(by.clone()) };
    let session = sessions::end(&pool, &outbox, &SessionScope::Any, &end).await?;
    info!(session = %session.id, by = %by.user(), reason = by.reason(), "an administrator ended a session");
    JsonResponse::ok(&Overview::from(session))
}

/// How many running sessions hold each revision of the settings.
#[utoipa::path(
    get,
    path = "/admin/sessions/pins",
    operation_id = "listSessionPins",
    tag = "sessions",
    responses(
        (status = 200, description = "The revisions that are held, newest first", body = Pins),
        ListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn pins(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    query.finish()?;
    JsonResponse::ok(&sessions::pins(&pool).await?)
}
