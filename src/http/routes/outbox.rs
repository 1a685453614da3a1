//! `/admin/outbox`: messages to other services, with the state of delivery.

use axum::extract::State;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Pool, TransactionError},
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::problems,
        problem::{Code, Problem},
        request::{
            page::PageParameters,
            path::PathSegment,
            query::{Query, query},
            value::choices,
        },
        response::JsonResponse,
    },
    outbox::{self, Cursor, Filter, Outbox, Page, Status, Topic},
};

choices! {
    Status: Status::ALL.map(|status| (status.as_str(), status));
    Topic: Topic::ALL.map(|topic| (topic.as_str(), topic));
}

query! {
    /// The messages to list.
    struct OutboxParameters {
        /// The state of the delivery
        status: Option<Status>,
        /// The sink: `discord` or `webhook`
        sink: Option<String>,
        /// The topic
        topic: Option<Topic>,
        /// The page
        page: PageParameters,
    }
}

query! {
    /// The sinks of a retry.
    struct RetryParameters {
        /// The only sink to retry
        sink: Option<String>,
    }
}

problems! {
    OutboxProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The messages to other services, newest first, and the backlog of each sink.
#[utoipa::path(
    get,
    path = "/admin/outbox",
    operation_id = "listOutbox",
    tag = "outbox",
    params(OutboxParameters),
    responses((status = 200, description = "A page", body = Page), OutboxProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(outbox): State<Outbox>,
    Query(parameters): Query<OutboxParameters>,
) -> Result<JsonResponse, Problem> {
    let OutboxParameters { status, sink, topic, page } = parameters;
    // A cursor is bound to the filter, so the filter is built first.
    let filter = Filter { status, sink, topic };
    let cursor = page.cursor(|text| Cursor::decode(text, &filter))?;
    let limit = page.limit;
    let page = database::read_with_retry(&pool, async |conn| {
        outbox::page(conn, &outbox, &filter, cursor, limit).await
    });
    JsonResponse::ok(&page.await?)
}

/// A retry.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRetry)]
pub(in crate::http) struct Retried {
    /// The message.
    id: Uuid,
    /// The sinks of the retry.
    sinks: Vec<String>,
}

problems! {
    RetryProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, NothingToRetry, RateLimited, Internal,
    Unavailable
}

/// Retries a message now, at every sink without a delivery. Earlier attempts no longer count; a disabled sink is called
/// again.
#[utoipa::path(
    post,
    path = "/admin/outbox/{id}/retry",
    operation_id = "retryMessage",
    tag = "outbox",
    params(RetryParameters, ("id" = Uuid, Path, description = "The message")),
    responses((status = 200, description = "The sinks of the retry", body = Retried), RetryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn retry(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(pool): State<Pool>,
    State(outbox): State<Outbox>,
    PathSegment(id): PathSegment,
    Query(RetryParameters { sink }): Query<RetryParameters>,
) -> Result<JsonResponse, Problem> {
    let not_found = || Problem::not_found("no such message for such a sink");
    // A malformed id is a 404 like an unknown id: clients handle a single case.
    let id = Uuid::parse_str(&id).map_err(|_| not_found())?;
    let sinks = database::read_with_retry(&pool, async |conn| {
        // Safe to repeat: a second run resets the same rows to the same state.
        Ok::<_, TransactionError>(outbox::retry(conn, id, sink.as_deref()).await?)
    });
    let sinks = sinks.await?.ok_or_else(not_found)?;
    // The message exists, so a 404 would mislead.
    if sinks.is_empty() {
        return Err(Problem::new(
            Code::NothingToRetry,
            "every sink has accepted the message already",
        ));
    }
    // Otherwise the worker would find the message only at the next poll.
    outbox.wake();
    info!(message = %id, sinks = sinks.join(", "), by = caller.user.as_str(), "retrying a message");
    JsonResponse::ok(&Retried { id, sinks })
}
