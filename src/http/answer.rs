//! What went well.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{compute, http::problem::Problem};

/// An answer with its status and headers.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    media_type: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Answer {
    /// A 200 with `body`.
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// A 200 with `body`, which is a list of so many `items`; a long one is written off the runtime's workers.
    pub(super) async fn list(
        items: usize,
        body: &(impl Serialize + Sync),
    ) -> Result<Self, Problem> {
        /// About as many bytes as an item takes.
        const OF_EACH: usize = 128;
        compute::run(items * OF_EACH, || Self::ok(body)).await
    }

    /// A `status` with `body`.
    pub(super) fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_vec(body).map_err(|err| Problem::internal(&err))?;
        Ok(Self { status, media_type: "application/json", headers: Vec::new(), body })
    }

    /// A 200 with a text of `media_type`.
    pub(super) fn text(media_type: &'static str, body: String) -> Self {
        Self { status: StatusCode::OK, media_type, headers: Vec::new(), body: body.into_bytes() }
    }

    /// The same with one more header; a value that no header can hold is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let media_type = [(header::CONTENT_TYPE, self.media_type)];
        let mut response = (self.status, media_type, self.body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
