//! `/admin/outbox`: what other services were told, and what they were not.

use axum::extract::State;
use serde::Serialize;
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database::{self, Pool, TransactionError},
    http::{
        auth::{SuperAdmin, write_quota::Writer},
        openapi::problems,
        problem::{Code, Problem},
        request::{path::PathSegment, query::Query},
        response::JsonResponse,
    },
    outbox::{self, Cursor, Filter, Outbox, Page, Status, Topic},
};

problems! {
    OutboxProblems: MalformedRequest, Unauthorized, Forbidden, Internal, Unavailable
}

/// The messages to other services, newest first, and what is left to do for each sink.
#[utoipa::path(
    get,
    path = "/admin/outbox",
    operation_id = "listOutbox",
    tag = "outbox",
    params(
        ("status" = Option<String>, Query, description = "`waiting`, `delivered` or `dead`"),
        ("sink" = Option<String>, Query, description = "For this sink: `discord` or `webhook`"),
        ("topic" = Option<String>, Query, description = "Of this, such as `settings.changed`"),
        ("limit" = Option<i64>, Query, description = "1 to 200, 50 when left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filters"),
    ),
    responses((status = 200, description = "A page", body = Page), OutboxProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn list(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(outbox): State<Outbox>,
    query: Query,
) -> Result<JsonResponse, Problem> {
    let (filter, cursor, limit) = read(query)?;
    let page = database::read_with_retry(&pool, async |conn| {
        Ok::<_, TransactionError>(outbox::page(conn, &outbox, &filter, cursor, limit).await?)
    });
    JsonResponse::ok(&page.await?)
}

fn read(mut query: Query) -> Result<(Filter, Option<Cursor>, u16), Problem> {
    let status = query.choice("status", &Status::ALL.map(Status::as_str));
    let topic = query.choice("topic", &Topic::ALL.map(Topic::as_str));
    let filter = Filter {
        status: status.and_then(Status::parse),
        sink: query.text("sink"),
        topic: topic.and_then(Topic::parse),
    };
    let (cursor, limit) = query.page(|text| Cursor::parse(text, &filter));
    query.finish()?;
    Ok((filter, cursor, limit))
}

/// Where a message goes again.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRetry)]
pub(in crate::http) struct Retried {
    /// The message.
    id: Uuid,
    /// The sinks that did not take it.
    sinks: Vec<String>,
}

problems! {
    RetryProblems: MalformedRequest, Unauthorized, Forbidden, NotFound, NothingToRetry, RateLimited, Internal,
    Unavailable
}

/// Tries a message again now, at every sink that did not take it. One that was given up counts as never tried; a
/// sink that is gone for good is called again.
#[utoipa::path(
    post,
    path = "/admin/outbox/{id}/retry",
    operation_id = "retryMessage",
    tag = "outbox",
    params(
        ("id" = Uuid, Path, description = "Its id"),
        ("sink" = Option<String>, Query, description = "At this sink only"),
    ),
    responses((status = 200, description = "Where it goes again", body = Retried), RetryProblems),
    security(("bearer" = []))
)]
pub(in crate::http) async fn retry(
    Writer(caller): Writer,
    State(pool): State<Pool>,
    State(outbox): State<Outbox>,
    PathSegment(id): PathSegment,
    mut query: Query,
) -> Result<JsonResponse, Problem> {
    let sink = query.text("sink");
    query.finish()?;
    let nothing = || Problem::not_found("there is no such message for such a sink");
    let id = Uuid::parse_str(&id).map_err(|_| nothing())?;
    let sinks = database::read_with_retry(&pool, async |conn| {
        Ok::<_, TransactionError>(outbox::retry(conn, id, sink.as_deref()).await?)
    });
    let sinks = sinks.await?.ok_or_else(nothing)?;
    if sinks.is_empty() {
        return Err(Problem::new(Code::NothingToRetry, "every sink took the message already"));
    }
    outbox.wake();
    info!(message = %id, sinks = sinks.join(", "), by = caller.user.as_str(), "a message is tried again");
    JsonResponse::ok(&Retried { id, sinks })
}
