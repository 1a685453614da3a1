//! Successful responses.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;

use crate::{
    compute,
    http::problem::{Code, Problem},
};

/// The size from which a list or a document counts as a large response, in bytes.
const LARGE: usize = 64 * 1024;

/// The budget of all large responses in KiB: a response stays in memory until the client has read all of it.
const BUDGET_KIB: usize = 64 * 1024;

static BODY_BUDGET_KIB: Semaphore = Semaphore::const_new(BUDGET_KIB);

/// A response with status and headers.
#[derive(Debug)]
pub(in crate::http) struct JsonResponse {
    status: StatusCode,
    media_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    /// Whether the response may be refused when the budget is used up. The response of a write never is.
    refusable: bool,
}

impl JsonResponse {
    /// Creates a 200 with `body`.
    pub(in crate::http) fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// Creates a 200 with `body`, a list of `items` items. A long list is serialized off the runtime's workers.
    pub(in crate::http) async fn list(
        items: usize,
        body: &(impl Serialize + Sync),
    ) -> Result<Self, Problem> {
        /// The approximate bytes of an item.
        const ITEM_BYTES: usize = 128;
        let response = compute::run(items * ITEM_BYTES, || Self::ok(body)).await?;
        Ok(Self { refusable: true, ..response })
    }

    /// Creates a response of `status` with `body`.
    pub(in crate::http) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|err| Problem::internal(&err))?;
        let media_type = "application/json";
        Ok(Self { status, media_type, headers: Vec::new(), body, refusable: false })
    }

    /// Creates a 200 with a text of `media_type`.
    pub(in crate::http) fn text(media_type: &'static str, body: String) -> Self {
        let body = body.into_bytes();
        // Texts are exports and metrics: reads, and safe to repeat after a refusal.
        Self { status: StatusCode::OK, media_type, headers: Vec::new(), body, refusable: true }
    }

    /// Adds a header, unless the value is invalid in a header.
    pub(in crate::http) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl IntoResponse for JsonResponse {
    fn into_response(self) -> Response {
        let media_type = [(header::CONTENT_TYPE, self.media_type)];
        // Small responses fit into the socket's buffer and are not worth a permit.
        let body = if self.refusable && self.body.len() > LARGE {
            match MeteredBody::new(self.body) {
                Ok(body) => Body::new(body),
                Err(problem) => return problem.into_response(),
            }
        } else {
            Body::from(self.body)
        };
        let mut response = (self.status, media_type, body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The body of a large response. Dropping the body releases the permit of the budget.
struct MeteredBody {
    body: Full<Bytes>,
    _permit: SemaphorePermit<'static>,
}

impl MeteredBody {
    fn new(bytes: Vec<u8>) -> Result<Self, Problem> {
        // A response above the whole budget takes all permits; more permits do not exist.
        let size = u32::try_from(bytes.len().div_ceil(1024).min(BUDGET_KIB)).unwrap_or(u32::MAX);
        let over_budget = |_| {
            let detail = "too many large responses are still being sent; retry";
            Problem::new(Code::Unavailable, detail).retry_after(1)
        };
        // Refused at once: waiting would keep the serialized body in memory.
        let permit = BODY_BUDGET_KIB.try_acquire_many(size).map_err(over_budget)?;
        Ok(Self { body: Full::from(bytes), _permit: permit })
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The response of a write that changes no setting.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct StepResponse<T> {
    #[serde(flatten)]
    body: T,
    /// Whether nothing was stored; only with `dry_run`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    dry_run: bool,
}

impl<T: Serialize> StepResponse<T> {
    /// Returns the response `body` of a write, with `status`, or of a dry run.
    pub(in crate::http) fn respond(
        body: T,
        status: StatusCode,
        dry_run: bool,
    ) -> Result<JsonResponse, Problem> {
        // A dry run creates nothing.
        let status = if dry_run { StatusCode::OK } else { status };
        JsonResponse::new(status, &Self { body, dry_run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_responses_share_a_budget_and_others_do_not() {
        let large = || JsonResponse::text("text/plain", "x".repeat(1024 * 1024)).into_response();
        let mut responses: Vec<_> = (0..BUDGET_KIB / 1024).map(|_| large()).collect();
        assert!(responses.iter().all(|response| response.status() == StatusCode::OK));
        assert_eq!(large().status(), StatusCode::SERVICE_UNAVAILABLE);
        let small = JsonResponse::text("text/plain", "x".repeat(LARGE)).into_response();
        assert_eq!(small.status(), StatusCode::OK);
        let write = JsonResponse::ok(&"x".repeat(1024 * 1024)).unwrap().into_response();
        assert_eq!(write.status(), StatusCode::OK);
        responses.pop();
        assert_eq!(large().status(), StatusCode::OK);
    }
}
