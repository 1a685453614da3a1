//! `/admin/sessions`: all sessions, for administrators.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::problems,
        problem::Problem,
        request::{
            body::Body,
            fields::body,
            page::PageParameters,
            path::PathSegment,
            query::{NoParameters, Query, query},
            value::choices,
        },
        response::JsonResponse,
        routes::sessions::{
            declared::WithSessions,
            document::{SessionDocument, session_id},
        },
        write::ChangeNote,
    },
    ids::RequestId,
    outbox::Outbox,
    sessions::{self, Cursor, End, EndedBy, Filter, Pins, Session, SessionScope, Status, Trace},
    settings::SettingsWriter,
};

/// A session, with the details for administrators.
#[derive(Serialize, ToSchema)]
#[schema(as = AdminSession)]
pub(in crate::http) struct Overview {
    #[serde(flatten)]
    session: SessionDocument,
    /// The user's plan at the start.
    #[schema(required)]
    plan: Option<String>,
    /// The user's level at the start.
    #[schema(required)]
    level: Option<String>,
    /// The realtime provider's id of the session.
    #[schema(required)]
    provider_session_id: Option<String>,
    /// The provider's id of the creating request.
    #[schema(required)]
    provider_request_id: Option<String>,
    /// The administrator behind the end.
    #[schema(required)]
    ended_by: Option<String>,
    /// The reason of the end.
    #[schema(required)]
    end_reason: Option<String>,
}

impl From<Session> for Overview {
    fn from(mut session: Session) -> Self {
        Self {
            // Moved out first: the conversion into the document of users drops the details.
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
    /// The cursor of the next page; null on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A session, with the change behind each setting.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionTrace)]
pub(in crate::http) struct TraceDocument {
    #[serde(flatten)]
    session: Overview,
    /// The settings of session starts, at the session's revision, by key. A value of a rollout's candidate has the action
    /// `rollout` and the author, the reason and the time of the proposal.
    settings: Vec<Origin>,
}

/// A pinned setting, with the author, the time and the reason of the value.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionSetting)]
struct Origin {
    key: String,
    value: serde_json::Value,
    #[schema(required)]
    version: Option<i32>,
    /// The revision of the change.
    #[schema(required)]
    revision: Option<i64>,
    #[schema(example = "update")]
    action: String,
    changed_by: String,
    reason: String,
    request_id: String,
    changed_at: DateTime<Utc>,
}

impl From<sessions::Origin> for Origin {
    fn from(origin: sessions::Origin) -> Self {
        let sessions::Origin {
            key,
            value,
            version,
            revision,
            action,
            changed_by,
            reason,
            request_id,
            changed_at,
        } = origin;
        Self { key, value, version, revision, action, changed_by, reason, request_id, changed_at }
    }
}

choices! {
    Status: Status::ALL.map(|status| (status.as_str(), status));
}

query! {
    /// The sessions to list.
    struct SessionsParameters {
        /// The state
        status: Option<Status>,
        /// The user
        user_id: Option<String>,
        /// The pinned revision of the settings
        #[validate(range(min = 1, max = i64::MAX))]
        revision: Option<i64>,
        /// The page
        page: PageParameters,
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
    params(SessionsParameters),
    responses((status = 200, description = "A page", body = PageDocument), ListProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    // After authentication, so strangers cannot probe the catalog.
    _: WithSessions,
    State(pool): State<Pool>,
    State(clock): State<Clock>,
    Query(parameters): Query<SessionsParameters>,
) -> Result<JsonResponse, Problem> {
    let SessionsParameters { status, user_id, revision, page } = parameters;
    // A cursor is bound to the filter, so the filter is built first.
    let filter = Filter { status, user_id, revision };
    let cursor = page.cursor(|text| Cursor::decode(text, &filter))?;
    let page = sessions::page(&pool, &filter, cursor, page.limit, clock.now()).await?;
    let sessions = page.sessions.into_iter().map(Overview::from).collect();
    JsonResponse::ok(&PageDocument { sessions, next_cursor: page.next_cursor })
}

problems! {
    TraceProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, Internal, Unavailable
}

/// A session with pinned settings, and the author, the time and the reason of each value.
#[utoipa::path(
    get,
    path = "/admin/sessions/{id}",
    operation_id = "traceSession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "The session")),
    responses((status = 200, description = "The session", body = TraceDocument), TraceProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn trace(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(clock): State<Clock>,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    let trace = sessions::trace(&pool, session_id(&id)?, clock.now()).await?;
    let Trace { session, settings, assignment } = trace;
    let mut session = Overview::from(session);
    session.session.set_assignment(assignment);
    let settings = settings.into_iter().map(Origin::from).collect();
    JsonResponse::ok(&TraceDocument { session, settings })
}

body! {
    /// Why a session is ended.
    struct SessionEnd {
        /// The reason
        note: ChangeNote,
    }
}

problems! {
    EndProblems: MalformedRequest, ReasonRequired, SecretLike, Unauthorized, Forbidden, NotFound,
    RequestTimeout, PayloadTooLarge, UnsupportedMediaType, RateLimited, Internal, Unavailable, OutcomeUnknown
}

/// Ends any session and stores the reason. An ended or starting session stays unchanged.
#[utoipa::path(
    post,
    path = "/admin/sessions/{id}/end",
    operation_id = "endAnySession",
    tag = "sessions",
    params(("id" = uuid::Uuid, Path, description = "The session")),
    request_body = SessionEnd,
    responses((status = 200, description = "The session as it ended", body = Overview), EndProblems),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "the signature of a handler lists its dependencies")]
pub(in crate::http) async fn end_any(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    State(settings): State<SettingsWriter>,
    State(outbox): State<Outbox>,
    State(clock): State<Clock>,
    request: RequestId,
    PathSegment(id): PathSegment,
    _: Query<NoParameters>,
    Body { value: SessionEnd { note }, .. }: Body<SessionEnd>,
) -> Result<JsonResponse, Problem> {
    let actor = note.actor(caller, request);
    // The reason is stored and logged, so a possible secret is refused first.
    let by = EndedBy::new(actor, &settings).await?;
    let end = End { id: session_id(&id)?, now: clock.now(), by: Some(by.clone()), outcome: None };
    let session = sessions::end(&pool, &outbox, &SessionScope::Any, &end).await?;
    // Logged only after success: the log must not report a failed end.
    info!(session = %session.id, by = %by.user(), reason = by.reason(), "an administrator ended a session");
    JsonResponse::ok(&Overview::from(session))
}

/// The number of running sessions by the pinned revision.
#[utoipa::path(
    get,
    path = "/admin/sessions/pins",
    operation_id = "listSessionPins",
    tag = "sessions",
    responses(
        (status = 200, description = "The revisions of running sessions, newest first", body = Pins),
        ListProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn pins(
    _: SuperAdmin,
    _: WithSessions,
    State(pool): State<Pool>,
    _: Query<NoParameters>,
) -> Result<JsonResponse, Problem> {
    JsonResponse::ok(&sessions::pins(&pool).await?)
}
