//! A request to an instance, and what it answered.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{Instance, canary};

/// A request that is being made.
pub(crate) struct Call<'a> {
    pub(super) instance: &'a Instance,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Call<'_> {
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    /// `body` as it is, declared as nothing.
    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// `body` as it is, declared as JSON.
    pub(crate) fn text(self, body: impl Into<Vec<u8>>) -> Self {
        self.raw(body).header("content-type", "application/json")
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(body.to_string())
    }

    pub(crate) async fn send(self) -> Reply {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        let response = self.instance.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        canary::watch("an answer", &format!("{headers:?} {text}"));
        Reply { status, headers, body, text }
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Reply {
    /// The body of a success; anything else fails the test, and says what was answered.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.body
    }

    /// Holds the answer to be the problem `code` with `status`; returns its body.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let found = (self.status.as_u16(), self.body["code"].as_str());
        assert_eq!(found, (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.headers["x-request-id"], self.body["request_id"].as_str().unwrap());
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
