//! `/ofrep/v1`: settings for services in any language, by the `OpenFeature` Remote Evaluation Protocol 0.3.
//!
//! Responses come from memory, with or without a database. No value depends on the request, so the reason is always
//! `STATIC`. Errors have the form of the protocol.

mod cors;
mod events;
mod page;
mod refusal;
mod request;

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use utoipa::{
    IntoParams,
    openapi::path::{Parameter, ParameterIn},
};

pub use cors::Origins;
pub(in crate::http) use cors::with_cors;
pub(in crate::http) use events::*;
pub(in crate::http) use page::EVENTS;
pub use page::Ofrep;
pub(in crate::http) use refusal::{Refusal, problem_format};

use crate::{
    clock::Clock,
    http::{
        auth::Reader,
        problem::{Code, Problem},
        request::{
            body::JsonBytes,
            headers,
            path::PathSegment,
            preconditions::{ReadConditions, ReadOutcome},
            query::{NoParameters, Query, query},
        },
        response::JsonResponse,
        routes::ofrep::{
            page::{Flag, FlagList, Page},
            request::EvaluationRequest,
        },
    },
    settings::{GlobalSettingsService, KeyClass},
};

/// The maximum wait for a revision announced by another instance.
const MAX_LAG: Duration = Duration::from_secs(1);

/// The headers of a response with all flags, those of the middleware and of the server included.
const RESPONSE_HEADERS: usize = 10;

const LISTS: HeaderName = HeaderName::from_static("x-brune-lists");
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Whether the client wants lists as objects (`X-Brune-Lists: items`), for want of another structure.
pub(in crate::http) struct ListsAsObjects(bool);

impl<S: Send + Sync> FromRequestParts<S> for ListsAsObjects {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(LISTS).is_some_and(|value| value == "items")))
    }
}

impl IntoParams for ListsAsObjects {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let description =
            "`items` wraps lists as `{\"items\": […]}`, for clients that take only objects";
        vec![headers::parameter::<String>("X-Brune-Lists", description)]
    }
}

query! {
    /// The parameters of an evaluation of all flags.
    struct EvaluateParameters {
        /// The `etag` of a refetch event: an outdated instance waits a moment for the state
        #[name("flagConfigEtag")]
        etag: Option<String>,
        /// The `lastModified` of a refetch event
        // Accepted and ignored: clients send both values, and the tag identifies the state.
        #[name("flagConfigLastModified")]
        _last_modified: Option<String>,
    }
}

/// A setting, as a flag.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags/{key}",
    operation_id = "evaluateFlag",
    tag = "ofrep",
    params(
        ("key" = String, Path, description = "The setting"),
        ListsAsObjects,
    ),
    request_body = Option<EvaluationRequest<'_>>,
    responses(
        (status = 200, description = "The value; `reason` is `STATIC`, `variant` the version", body = Flag<'_>),
        (status = 400, description = "`PARSE_ERROR` or `INVALID_CONTEXT`", body = Refusal),
        (status = 401, description = "No valid credentials", body = Refusal),
        (status = 404, description = "`FLAG_NOT_FOUND`; also for a locked or secret key", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn evaluate(
    _: Reader,
    State(settings): State<GlobalSettingsService>,
    PathSegment(key): PathSegment,
    _: Query<NoParameters>,
    ListsAsObjects(wrapped): ListsAsObjects,
    JsonBytes(body): JsonBytes,
) -> Result<JsonResponse, Problem> {
    // Although no value depends on the body, clients expect the errors of the protocol.
    request::validate(body.as_deref())?;
    let snapshot = settings.current();
    // No database is involved: an evaluation must not fail with the database.
    let entry = match snapshot.schema.classify(&key) {
        KeyClass::Editable(definition) => snapshot.find(&key).map(|entry| (definition, entry)),
        // Not even the existence of a locked key is disclosed.
        KeyClass::Locked(_) | KeyClass::Unknown => None,
    };
    let not_found = || Problem::new(Code::UnknownKey, "no such flag");
    let (definition, entry) = entry.ok_or_else(not_found)?;
    let flag = Flag::of(definition, entry, wrapped);
    JsonResponse::ok(&flag.at(snapshot.revision, page::is_stale(&settings)))
}

/// Every setting, as flags; serialized once for each revision.
#[utoipa::path(
    post,
    path = "/ofrep/v1/evaluate/flags",
    operation_id = "evaluateFlags",
    tag = "ofrep",
    params(EvaluateParameters, ReadConditions),
    request_body = Option<EvaluationRequest<'_>>,
    responses(
        (status = 200, description = "The flags, the stream of their changes, and `metadata` with `revision` and `stale`: whether the flags may be outdated, because the database is unreachable or its settings are invalid", body = FlagList<'_>, headers(
            ("ETag" = String, description = "The state of the flags"),
        )),
        (status = 304, description = "The state is that of `If-None-Match`"),
        (status = 400, description = "`PARSE_ERROR` or `INVALID_CONTEXT`", body = Refusal),
        (status = 401, description = "No valid credentials", body = Refusal),
    ),
    security(("bearer" = []), ("internal_key" = []))
)]
pub(in crate::http) async fn evaluate_all(
    _: Reader,
    State(settings): State<GlobalSettingsService>,
    State(ofrep): State<Ofrep>,
    State(clock): State<Clock>,
    Query(parameters): Query<EvaluateParameters>,
    conditions: ReadConditions,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    request::validate(body.as_deref())?;
    let announced = parameters.etag.as_deref().and_then(page::revision_in);
    if let Some(revision) = announced.filter(|revision| settings.revision() < *revision) {
        // Another instance is ahead by milliseconds. An invented revision never comes, so the wait is limited.
        // Boxed: a handler's future is allocated and moved with every request, and few of them wait.
        let _ = Box::pin(timeout(MAX_LAG, settings.wait_for(revision))).await;
    }
    let page = ofrep.page(&settings, clock.now()).await?;
    respond(&page, &conditions)
}

fn respond(page: &Page, conditions: &ReadConditions) -> Result<Response, Problem> {
    // The tag is made of ASCII, so the default is never used.
    let tag = page.tag.to_str().unwrap_or_default();
    let outcome = conditions.evaluate(tag)?;
    // With capacity for the headers of the middleware: every growth of the map moves all headers.
    let mut headers = HeaderMap::with_capacity(RESPONSE_HEADERS);
    headers.insert(header::ETAG, page.tag.clone());
    if outcome == ReadOutcome::NotModified {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::CONTENT_TYPE, APPLICATION_JSON);
    // `Bytes` shares the page among all readers: a clone copies no content.
    let mut response = Response::new(Body::from(page.body.clone()));
    *response.headers_mut() = headers;
    Ok(response)
}
